{{/*
The container, its volumes and its claim, for this chart's StatefulSet and for pods of a parent chart. A parent writes
  {{ include "peat-node.container" (index .Subcharts "peat-node") }}
and gets a map; "volumes", "volumeClaimTemplates" and "appVolumeMounts" give lists.
*/}}

{{- define "peat-node.container" -}}
{{- include "peat-node.checks" . -}}
{{- $v := .Values -}}
name: peat-node
image: {{ include "peat-node.image" . | quote }}
imagePullPolicy: {{ $v.image.pullPolicy }}
{{- if and (eq $v.mode "sidecar") $v.sidecar.native }}
restartPolicy: Always
{{- end }}
env:
  {{- include "peat-node.env" . | nindent 2 }}
ports:
  {{- if eq $v.mode "statefulset" }}
  - { name: api, containerPort: {{ $v.api.port }}, protocol: TCP }
  {{- end }}
  - { name: mesh, containerPort: {{ $v.mesh.port }}, protocol: UDP }
  - { name: metrics, containerPort: {{ $v.metrics.port }}, protocol: TCP }
{{- if and (eq $v.mode "sidecar") $v.sidecar.native }}
startupProbe:
  httpGet: { path: /readyz, port: metrics }
  {{- toYaml $v.probes.startup | nindent 2 }}
{{- end }}
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  {{- toYaml $v.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  {{- toYaml $v.probes.readiness | nindent 2 }}
resources:
  {{- toYaml $v.resources | nindent 2 }}
securityContext:
  {{- toYaml $v.securityContext | nindent 2 }}
volumeMounts:
  - { name: peat-data, mountPath: /data }
  {{- range $name := include "peat-node.files" . | fromYaml | keys | sortAlpha }}
  - { name: {{ $name }}, mountPath: /run/secrets/{{ $name }}, readOnly: true }
  {{- end }}
  {{- if $v.api.socket.enabled }}
  - { name: peat-socket, mountPath: /run/peat }
  {{- end }}
  {{- with $v.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Secrets and ConfigMaps that are mounted: volume -> {secret | configMap: name}. As directories, which Kubernetes keeps up to date. */}}
{{- define "peat-node.files" -}}
{{- $v := .Values -}}
{{- $files := dict -}}
{{- with $v.encryption.existingSecret }}{{ $_ := set $files "peat-encryption" (dict "secret" .) }}{{ end -}}
{{- with $v.api.tls.existingSecret }}{{ $_ := set $files "peat-tls" (dict "secret" .) }}{{ end -}}
{{- with $v.api.tls.clientCa.existingSecret }}{{ $_ := set $files "peat-client-ca" (dict "secret" .) }}{{ end -}}
{{- with $v.api.tokens.existingSecret }}{{ $_ := set $files "peat-tokens" (dict "secret" .) }}{{ end -}}
{{- with $v.formation.allowList.existingConfigMap }}{{ $_ := set $files "peat-allow-list" (dict "configMap" .) }}{{ end -}}
{{- with $v.relays.ca.existingConfigMap }}{{ $_ := set $files "peat-relay-ca" (dict "configMap" .) }}{{ end -}}
{{- with $v.agent.tls.existingSecret }}{{ $_ := set $files "peat-agent-tls" (dict "secret" .) }}{{ end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* Volumes of a pod, but for the claim of a StatefulSet. */}}
{{- define "peat-node.volumes" -}}
{{- $v := .Values -}}
{{- range $name, $source := include "peat-node.files" . | fromYaml }}
- name: {{ $name }}
  {{- if $source.secret }}
  secret: { secretName: {{ $source.secret }}, defaultMode: 0440 }
  {{- else }}
  configMap: { name: {{ $source.configMap }}, defaultMode: 0444 }
  {{- end }}
{{- end }}
{{- if $v.api.socket.enabled }}
- name: peat-socket
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
{{- end }}
{{- if not $v.persistence.enabled }}
- name: peat-data
  emptyDir: { sizeLimit: {{ $v.persistence.emptyDirSize }} }
{{- else if $v.persistence.existingClaim }}
- name: peat-data
  persistentVolumeClaim: { claimName: {{ $v.persistence.existingClaim }} }
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The claim of a StatefulSet, if it has one of its own. */}}
{{- define "peat-node.volumeClaimTemplates" -}}
{{- $p := .Values.persistence -}}
{{- if and $p.enabled (not $p.existingClaim) -}}
- metadata:
    name: peat-data
    {{- with $p.annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    accessModes: {{ toJson $p.accessModes }}
    {{- with $p.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests: { storage: {{ $p.size }} }
{{- end -}}
{{- end -}}

{{/* Mounts for the application's container, so that it reaches the socket at /run/peat/peat.sock. */}}
{{- define "peat-node.appVolumeMounts" -}}
{{- if .Values.api.socket.enabled -}}
- { name: peat-socket, mountPath: /run/peat }
{{- end -}}
{{- end -}}

{{/* The pod's security context: without fsGroup the node cannot write to its volume. */}}
{{- define "peat-node.podSecurityContext" -}}
{{- toYaml .Values.podSecurityContext -}}
{{- end -}}
