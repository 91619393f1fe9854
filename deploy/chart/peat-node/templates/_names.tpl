{{/* Names and labels. Every template takes the context of this chart: "." here, (index .Subcharts "peat-node") in a parent. */}}

{{- define "peat-node.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 48 bytes, so that "-mesh-99" and a pod's "-99" and hash fit into a label. */}}
{{- define "peat-node.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "peat-node.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "peat-node.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "peat-node.headless" -}}
{{- include "peat-node.fullname" . }}-mesh
{{- end -}}

{{- define "peat-node.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "peat-node.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What never changes in the life of a release: selectors of a StatefulSet cannot. */}}
{{- define "peat-node.selectorLabels" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- toYaml .Values.sidecar.selectorLabels -}}
{{- else -}}
app.kubernetes.io/name: {{ include "peat-node.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}
{{- end -}}

{{/* Labels of an object. Takes a dict: ctx, component. */}}
{{- define "peat-node.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "peat-node.name" .ctx }}
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
{{- with .ctx.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name, namespace and labels of an object, for "metadata:". Takes a dict: ctx, component, and suffix if it has one. */}}
{{- define "peat-node.metadata" -}}
name: {{ include "peat-node.fullname" .ctx }}{{ .suffix }}
namespace: {{ .ctx.Release.Namespace }}
labels:
  {{- include "peat-node.labels" . | nindent 2 }}
{{- end -}}

{{/* "true" if there are pods that this chart knows the labels of. */}}
{{- define "peat-node.hasPods" -}}
{{- if or (eq .Values.mode "statefulset") .Values.sidecar.selectorLabels -}}true{{- end -}}
{{- end -}}

{{/* "true" if there is a NetworkPolicy. A sidecar's closes the application's own ports too: only if that was asked for. */}}
{{- define "peat-node.hasPolicy" -}}
{{- if eq .Values.mode "statefulset" -}}
{{- if .Values.networkPolicy.enabled -}}true{{- end -}}
{{- else if and .Values.sidecar.networkPolicy .Values.sidecar.selectorLabels -}}true{{- end -}}
{{- end -}}

{{- define "peat-node.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The label that lets a pod of this namespace call the API, unless networkPolicy.api.from says otherwise. */}}
{{- define "peat-node.clientLabel" -}}
{{ include "peat-node.fullname" . }}-client: "true"
{{- end -}}
