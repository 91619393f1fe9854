{{/* Names, labels, and what a pod runs. */}}

{{/* At most 40 bytes, so that a revision, "-report", a pod's index and its hash fit into 63. */}}
{{- define "ddil-sweep.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* A Job cannot be changed: each revision of the release is a Job of its own. */}}
{{- define "ddil-sweep.job" -}}
{{- include "ddil-sweep.fullname" . }}-{{ .Release.Revision }}
{{- end -}}

{{- define "ddil-sweep.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "ddil-sweep.claim" -}}
{{- default (printf "%s-results" (include "ddil-sweep.fullname" .)) .Values.results.volume.existingClaim -}}
{{- end -}}

{{/* Takes a dict: ctx, component. */}}
{{- define "ddil-sweep.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ .ctx.Chart.Name }}
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
{{- with .ctx.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A pod that runs ddil. Takes a dict: ctx, component, args (a list), resources, and scenarios if it reads files. */}}
{{- define "ddil-sweep.pod" -}}
{{- $values := .ctx.Values -}}
metadata:
  labels:
    {{- include "ddil-sweep.labels" . | nindent 4 }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: ddil
      image: {{ include "ddil-sweep.image" .ctx | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      {{- if or .scenarios $values.results.volume.enabled }}
      volumeMounts:
        {{- if .scenarios }}
        - { name: scenarios, mountPath: /scenarios, readOnly: true }
        {{- end }}
        {{- if $values.results.volume.enabled }}
        # A folder for each revision: results of two sweeps do not mix.
        - { name: results, mountPath: /results, subPath: {{ include "ddil-sweep.job" .ctx }} }
        {{- end }}
      {{- end }}
  {{- if or .scenarios $values.results.volume.enabled }}
  volumes:
    {{- if .scenarios }}
    - name: scenarios
      configMap: { name: {{ include "ddil-sweep.job" .ctx }} }
    {{- end }}
    {{- if $values.results.volume.enabled }}
    - name: results
      persistentVolumeClaim: { claimName: {{ include "ddil-sweep.claim" .ctx }} }
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "ddil-sweep.checks" -}}
{{- $files := .Values.files -}}
{{- if and (not .Values.library) (not .Values.scenarios) -}}
{{- fail "scenarios is empty: name a shipped scenario or one of files, or set library" -}}
{{- end -}}
{{- if and .Values.library $files -}}
{{- fail "files are not run with library: name them in scenarios" -}}
{{- end -}}
{{- if and .Values.except (not .Values.library) -}}
{{- fail "except leaves shipped scenarios out of library, which is not set" -}}
{{- end -}}
{{- range .Values.scenarios -}}
{{- if and (hasSuffix ".toml" .) (not (hasKey $files .)) (not $.Values.library) -}}
{{- fail (printf "scenarios names %s, which is not in files" .) -}}
{{- end -}}
{{- end -}}
{{- range $name, $text := $files -}}
{{- if not (has $name $.Values.scenarios) -}}
{{- fail (printf "files has %s, which scenarios does not name" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.results.json (not .Values.results.volume.enabled) -}}
{{- fail "results.json is about the report that is made in the cluster, for which results.volume.enabled is needed" -}}
{{- end -}}
{{- end -}}
