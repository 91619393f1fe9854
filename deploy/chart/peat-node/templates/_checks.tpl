{{/* What the schema cannot say, because it is about two values at once. Every message says what to do. */}}
{{- define "peat-node.checks" -}}
{{- $v := .Values -}}
{{- $sidecar := eq $v.mode "sidecar" -}}
{{- if and (not $v.formation.sharedKey.existingSecret) (not $v.formation.open) -}}
{{- fail "formation.sharedKey.existingSecret: it is empty, and everyone who reaches the mesh port would be a member; name a Secret with the key, or set formation.open to true" -}}
{{- end -}}
{{- if and $v.formation.open $v.formation.previousKey.existingSecret -}}
{{- fail "formation.previousKey.existingSecret: an open formation has no key that it could be previous to; empty it, or set formation.open to false" -}}
{{- end -}}
{{- if and $v.api.socket.enabled (not $sidecar) -}}
{{- fail "api.socket.enabled: only containers of the same pod reach a Unix socket; set mode to sidecar, or api.socket.enabled to false" -}}
{{- end -}}
{{- if and $v.api.socket.enabled $v.api.tls.existingSecret -}}
{{- fail "api.tls.existingSecret: a Unix socket does not leave the pod and takes no TLS; empty it, or set api.socket.enabled to false" -}}
{{- end -}}
{{- if and $v.api.tls.clientCertificates (not $v.api.tls.existingSecret) -}}
{{- fail "api.tls.clientCertificates: certificates of clients need TLS; name a Secret in api.tls.existingSecret" -}}
{{- end -}}
{{- if and $v.api.tls.clientCertificates (not $v.api.tls.caKey) (not $v.api.tls.clientCa.existingSecret) -}}
{{- fail "api.tls.clientCertificates: there is no authority to check them by; set api.tls.caKey or api.tls.clientCa.existingSecret" -}}
{{- end -}}
{{- if and (has "*" $v.api.allowOrigins) (not $v.api.tokens.existingSecret) -}}
{{- fail "api.allowOrigins: * would let every page that somebody opens use the node, as there are no tokens; name the origins, or a Secret in api.tokens.existingSecret" -}}
{{- end -}}
{{- if and (has "dns" $v.discovery.modes) (not $v.discovery.service) (not (include "peat-node.hasPods" .)) -}}
{{- fail "discovery.modes: dns needs a name to look up; set sidecar.selectorLabels to the labels of your pods (this chart then makes a headless service), or discovery.service" -}}
{{- end -}}
{{- if and (or $v.discovery.service $v.discovery.nameserver) (not (has "dns" $v.discovery.modes)) -}}
{{- fail "discovery.service, discovery.nameserver: they are for the mode dns; add it to discovery.modes, or empty them" -}}
{{- end -}}
{{- if and (not $v.relays.urls) (or $v.relays.ca.existingConfigMap $v.relays.token.existingSecret) -}}
{{- fail "relays.ca, relays.token: they are for relays, and relays.urls names none" -}}
{{- end -}}
{{- if and $v.agent.addr (not $v.site) -}}
{{- fail "site: it is empty; what the agent says is published under the node's name, which must differ from those of other clusters. Set site, for example ship-7" -}}
{{- end -}}
{{- if and $v.agent.addr (not $sidecar) (gt (int $v.replicas) 1) -}}
{{- fail "replicas: with agent.addr each would publish the same agent under another name; set replicas to 1, or watch it by a release of its own" -}}
{{- end -}}
{{- if and $v.agent.tls.existingSecret (not $v.agent.addr) -}}
{{- fail "agent.tls.existingSecret: agent.addr names no agent" -}}
{{- end -}}
{{- if and (hasPrefix "https://" $v.agent.addr) (not $v.agent.tls.existingSecret) -}}
{{- fail "agent.tls.existingSecret: https needs the authority of the agent's certificate; name a Secret that has it" -}}
{{- end -}}
{{- if and (hasPrefix "http://" $v.agent.addr) $v.agent.tls.existingSecret -}}
{{- fail "agent.tls.existingSecret: agent.addr is without TLS; write https:// there, or empty it" -}}
{{- end -}}
{{- if and $v.persistence.existingClaim (not $sidecar) (gt (int $v.replicas) 1) -}}
{{- fail "persistence.existingClaim: a store has one node; set replicas to 1, or empty it so that each pod gets a claim of its own" -}}
{{- end -}}
{{- if and $v.meshService.enabled $sidecar -}}
{{- fail "meshService.enabled: it makes a service for each pod of a StatefulSet, of which a sidecar knows nothing; make them in the parent chart" -}}
{{- end -}}
{{- if and $v.sidecar.networkPolicy (not $v.sidecar.selectorLabels) -}}
{{- fail "sidecar.networkPolicy: it has no pods to be for; set sidecar.selectorLabels to the labels of your pods" -}}
{{- end -}}
{{- if include "peat-node.hasPolicy" . -}}
{{- range $peer := $v.mesh.peers -}}
{{- if and (not (contains "://" $peer)) (not $v.networkPolicy.mesh.peers) -}}
{{- fail "networkPolicy.mesh.peers: mesh.peers names nodes that the policy would keep the node from; name their networks, for example [{ipBlock: {cidr: 10.20.0.0/16}}]" -}}
{{- end -}}
{{- end -}}
{{- if and $v.relays.urls (not $v.networkPolicy.relays.to) -}}
{{- fail "networkPolicy.relays.to: the policy would keep the node from its relays; name their networks, for example [{ipBlock: {cidr: 203.0.113.7/32}}]" -}}
{{- end -}}
{{- $local := or (contains "//127.0.0.1:" $v.agent.addr) (contains "//localhost:" $v.agent.addr) -}}
{{- if and $v.agent.addr (not $local) (not $v.networkPolicy.agent.to) -}}
{{- fail "networkPolicy.agent.to: the policy would keep the node from the agent; name it, for example [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: uds-agent}}}]" -}}
{{- end -}}
{{- end -}}
{{- if and $v.meshService.enabled $v.networkPolicy.enabled (not $v.networkPolicy.mesh.peers) -}}
{{- fail "networkPolicy.mesh.peers: meshService lets peers in from outside, and the policy would keep them out; name their networks, for example [{ipBlock: {cidr: 10.20.0.0/16}}]" -}}
{{- end -}}
{{- if and $v.uds.enabled $sidecar -}}
{{- fail "uds.enabled: a namespace has one Package, and it is the application's; set it to false and put the entries of README.md into yours" -}}
{{- end -}}
{{- if eq (int $v.metrics.port) (int $v.api.port) -}}
{{- fail "metrics.port: it is the port of the API; choose another" -}}
{{- end -}}
{{- end -}}
