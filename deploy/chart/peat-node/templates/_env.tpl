{{/* The variables of the node. What is not set is left out, so that the node's own defaults hold and are said in one place. */}}

{{/* One variable with a value. Takes a list: name, value. */}}
{{- define "peat-node.var" -}}
{{- if last . }}
- { name: {{ first . }}, value: {{ last . | toString | quote }} }
{{- end }}
{{- end -}}

{{/* One variable from a Secret. Takes a list: name, map with existingSecret and key. */}}
{{- define "peat-node.secretVar" -}}
{{- $from := last . -}}
{{- if $from.existingSecret }}
- name: {{ first . }}
  valueFrom: { secretKeyRef: { name: {{ $from.existingSecret }}, key: {{ $from.key }} } }
{{- end }}
{{- end -}}

{{/* A map as the node reads it: key=value with commas between, in the order of the keys. */}}
{{- define "peat-node.pairs" -}}
{{- $map := . -}}
{{- $pairs := list -}}
{{- range $key := keys $map | sortAlpha }}{{ $pairs = append $pairs (printf "%s=%s" $key (get $map $key)) }}{{ end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* Where the API listens. The application beside a sidecar is on the pod's loopback: nobody else is let in. */}}
{{- define "peat-node.listen" -}}
{{- if .Values.api.socket.enabled -}}
unix:///run/peat/peat.sock
{{- else if eq .Values.mode "sidecar" -}}
tcp://127.0.0.1:{{ .Values.api.port }}
{{- else -}}
tcp://{{ .Values.bindAddress }}:{{ .Values.api.port }}
{{- end -}}
{{- end -}}

{{/* The name that dns discovery asks for, exactly as it stands: hence the dot at its end. */}}
{{- define "peat-node.discoveryService" -}}
{{- if has "dns" .Values.discovery.modes -}}
{{- default (printf "%s.%s.svc.%s." (include "peat-node.headless" .) .Release.Namespace (trimSuffix "." .Values.clusterDomain)) .Values.discovery.service -}}
{{- end -}}
{{- end -}}

{{/* A name that the API's certificate is for, as commands in the pod ask at a loopback address. */}}
{{- define "peat-node.serverName" -}}
{{- default (printf "%s.%s.svc" (include "peat-node.fullname" .) .Release.Namespace) .Values.api.tls.serverName -}}
{{- end -}}

{{- define "peat-node.env" -}}
{{- $v := .Values -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- include "peat-node.var" (list "PEAT_NODE_NODE_ID" (ternary (printf "%s-$(POD_NAME)" $v.site) "$(POD_NAME)" (not (empty $v.site)))) }}
{{- include "peat-node.var" (list "PEAT_NODE_DATA_DIR" "/data/peat-node") }}
{{- include "peat-node.var" (list "PEAT_NODE_LISTEN" (include "peat-node.listen" .)) }}
{{- include "peat-node.var" (list "PEAT_NODE_METRICS_LISTEN" (printf "tcp://%s:%v" $v.bindAddress $v.metrics.port)) }}
{{- include "peat-node.var" (list "RUST_LOG" $v.log) }}
{{- include "peat-node.var" (list "PEAT_NODE_APP_ID" $v.formation.appId) }}
{{- if not $v.formation.open }}
{{- include "peat-node.secretVar" (list "FORMATION_KEY" $v.formation.sharedKey) }}
{{- /* The node takes an empty variable for none given, and would run an open formation if the entry of the Secret is empty.
A blank before it is no part of a key, and makes it refuse to start instead. */}}
{{- include "peat-node.var" (list "PEAT_NODE_SHARED_KEY" " $(FORMATION_KEY)") }}
{{- include "peat-node.secretVar" (list "PEAT_NODE_SHARED_KEY_PREVIOUS" $v.formation.previousKey) }}
{{- end }}
{{- if $v.formation.allowList.existingConfigMap }}
{{- include "peat-node.var" (list "PEAT_NODE_ALLOW_LIST" (printf "/run/secrets/peat-allow-list/%s" $v.formation.allowList.key)) }}
{{- end }}
{{- if $v.encryption.existingSecret }}
{{- include "peat-node.var" (list "PEAT_NODE_ENCRYPTION_KEY" (printf "file:/run/secrets/peat-encryption/%s" $v.encryption.key)) }}
{{- end }}
{{- include "peat-node.apiEnv" . }}
{{- include "peat-node.meshEnv" . }}
{{- include "peat-node.var" (list "PEAT_NODE_INTEREST" (join "," $v.traffic.interest)) }}
{{- include "peat-node.var" (list "PEAT_NODE_CLASSES" (include "peat-node.pairs" $v.traffic.classes)) }}
{{- include "peat-node.var" (list "PEAT_NODE_HISTORY" (include "peat-node.pairs" $v.traffic.history)) }}
{{- include "peat-node.var" (list "PEAT_NODE_MAX_DOCUMENT_BYTES" (int64 $v.limits.maxDocumentBytes)) }}
{{- include "peat-node.var" (list "PEAT_NODE_MAX_DOCUMENT_DEPTH" (int64 $v.limits.maxDocumentDepth)) }}
{{- include "peat-node.var" (list "PEAT_NODE_MAX_REQUEST_BYTES" (int64 $v.limits.maxRequestBytes)) }}
{{- include "peat-node.var" (list "PEAT_NODE_MAX_PUT_DOCUMENTS" (int64 $v.limits.maxPutDocuments)) }}
{{- include "peat-node.agentEnv" . }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The locks of the API, and what the node's own commands need to get past them. */}}
{{- define "peat-node.apiEnv" -}}
{{- $api := .Values.api -}}
{{- if $api.socket.enabled }}
{{- include "peat-node.var" (list "PEAT_NODE_LISTEN_MODE" $api.socket.mode) }}
{{- end }}
{{- if $api.tls.existingSecret }}
{{- include "peat-node.var" (list "PEAT_NODE_TLS_CERT" (printf "/run/secrets/peat-tls/%s" $api.tls.certKey)) }}
{{- include "peat-node.var" (list "PEAT_NODE_TLS_KEY" (printf "/run/secrets/peat-tls/%s" $api.tls.keyKey)) }}
{{- if $api.tls.caKey }}
{{- include "peat-node.var" (list "PEAT_NODE_API_TLS_CA" (printf "/run/secrets/peat-tls/%s" $api.tls.caKey)) }}
{{- include "peat-node.var" (list "PEAT_NODE_API_TLS_NAME" (include "peat-node.serverName" .)) }}
{{- end }}
{{- if $api.tls.clientCertificates }}
{{- $own := printf "/run/secrets/peat-tls/%s" $api.tls.caKey }}
{{- $other := printf "/run/secrets/peat-client-ca/%s" $api.tls.clientCa.key }}
{{- include "peat-node.var" (list "PEAT_NODE_TLS_CLIENT_CA" (ternary $other $own (not (empty $api.tls.clientCa.existingSecret)))) }}
{{- end }}
{{- end }}
{{- if $api.tokens.existingSecret }}
{{- include "peat-node.var" (list "PEAT_NODE_TOKENS" (printf "/run/secrets/peat-tokens/%s" $api.tokens.key)) }}
{{- end }}
{{- include "peat-node.var" (list "PEAT_NODE_ALLOW_ORIGIN" (join "," $api.allowOrigins)) }}
{{- end -}}

{{/* How peers are found and reached. */}}
{{- define "peat-node.meshEnv" -}}
{{- $v := .Values -}}
{{- include "peat-node.var" (list "PEAT_NODE_IROH_UDP_PORT" $v.mesh.port) }}
{{- include "peat-node.var" (list "PEAT_NODE_PEERS" (join "," $v.mesh.peers)) }}
{{- include "peat-node.var" (list "PEAT_NODE_TOPOLOGY" $v.mesh.topology) }}
{{- include "peat-node.var" (list "PEAT_NODE_ADVERTISE" (join "," $v.mesh.advertise)) }}
{{- include "peat-node.var" (list "PEAT_NODE_KEEP_ALIVE" $v.mesh.keepAlive) }}
{{- include "peat-node.var" (list "PEAT_NODE_DIAL_INTERVAL" $v.mesh.dialInterval) }}
{{- if not $v.mesh.autoSync }}
{{- include "peat-node.var" (list "PEAT_NODE_AUTO_SYNC" "false") }}
{{- end }}
{{- include "peat-node.var" (list "PEAT_NODE_DISCOVERY_MODE" (join "," $v.discovery.modes)) }}
{{- include "peat-node.var" (list "PEAT_NODE_DISCOVERY_SERVICE" (include "peat-node.discoveryService" .)) }}
{{- include "peat-node.var" (list "PEAT_NODE_DISCOVERY_INTERVAL" $v.discovery.interval) }}
{{- include "peat-node.var" (list "PEAT_NODE_DISCOVERY_NAMESERVER" $v.discovery.nameserver) }}
{{- include "peat-node.var" (list "PEAT_NODE_RELAY" (join "," $v.relays.urls)) }}
{{- if $v.relays.ca.existingConfigMap }}
{{- include "peat-node.var" (list "PEAT_NODE_RELAY_CA" (printf "/run/secrets/peat-relay-ca/%s" $v.relays.ca.key)) }}
{{- end }}
{{- include "peat-node.secretVar" (list "PEAT_NODE_RELAY_TOKEN" $v.relays.token) }}
{{- end -}}

{{- define "peat-node.agentEnv" -}}
{{- $agent := .Values.agent -}}
{{- include "peat-node.var" (list "PEAT_NODE_AGENT_ADDR" $agent.addr) }}
{{- include "peat-node.var" (list "PEAT_NODE_AGENT_POLL_INTERVAL" $agent.pollInterval) }}
{{- if $agent.tls.existingSecret }}
{{- include "peat-node.var" (list "PEAT_NODE_AGENT_TLS_CA" (printf "/run/secrets/peat-agent-tls/%s" $agent.tls.caKey)) }}
{{- if $agent.tls.clientCertificate }}
{{- include "peat-node.var" (list "PEAT_NODE_AGENT_TLS_CERT" (printf "/run/secrets/peat-agent-tls/%s" $agent.tls.certKey)) }}
{{- include "peat-node.var" (list "PEAT_NODE_AGENT_TLS_KEY" (printf "/run/secrets/peat-agent-tls/%s" $agent.tls.keyKey)) }}
{{- end }}
{{- end }}
{{- end -}}
