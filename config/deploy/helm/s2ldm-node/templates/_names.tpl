{{- define "s2ldm-node.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters: KubeRay and the StatefulSet make longer ones of it. */}}
{{- define "s2ldm-node.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "s2ldm-node.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "s2ldm-node.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "s2ldm-node.selectorLabels" -}}
app.kubernetes.io/name: {{ include "s2ldm-node.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}

{{- define "s2ldm-node.commonLabels" -}}
app.kubernetes.io/name: {{ include "s2ldm-node.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "s2ldm-node.labels" -}}
{{ include "s2ldm-node.commonLabels" . }}
app.kubernetes.io/component: node
{{- end -}}

{{- define "s2ldm-node.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "s2ldm-node.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "s2ldm-node.claimName" -}}
{{- default (printf "%s-data" (include "s2ldm-node.fullname" .)) .Values.storage.existingClaim -}}
{{- end -}}

{{/* Of .image, where it says something, else of the chart's; the tag is the chart's appVersion unless one is given. */}}
{{- define "s2ldm-node.image" -}}
{{- $own := .image -}}
{{- $repository := default .root.Values.image.repository $own.repository -}}
{{- if $own.digest -}}
{{- printf "%s@%s" $repository $own.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (coalesce $own.tag (ternary .root.Values.image.tag "" (empty $own.repository)) .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
