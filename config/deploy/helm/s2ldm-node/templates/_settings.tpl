{{/* What the chart has to know of the node's configuration. Numbers of YAML are floats here. */}}
{{- define "s2ldm-node.dicomPort" -}}
{{- dig "node" "port" 11112 .Values.config | int -}}
{{- end -}}

{{/* Empty: there is no TLS port. */}}
{{- define "s2ldm-node.dicomTlsPort" -}}
{{- with dig "node" "tls" "port" nil .Values.config -}}{{- int . -}}{{- end -}}
{{- end -}}

{{- define "s2ldm-node.webPort" -}}
{{- dig "web" "port" 8104 .Values.config | int -}}
{{- end -}}

{{- define "s2ldm-node.webScheme" -}}
{{- ternary "HTTPS" "HTTP" (not (empty (dig "web" "tls" nil .Values.config))) -}}
{{- end -}}

{{- define "s2ldm-node.hasDatabase" -}}
{{- if or .Values.database.urlSecret.name .Values.database.url -}}true{{- end -}}
{{- end -}}

{{- define "s2ldm-node.accessMode" -}}
{{- $alone := and (le (int .Values.replicas) 1) (not (include "s2ldm-node.hasDatabase" .)) (not .Values.ray.enabled) -}}
{{- default (ternary "ReadWriteOnce" "ReadWriteMany" $alone) .Values.storage.accessMode -}}
{{- end -}}

{{/* Whether the chart has a Ray cluster made. */}}
{{- define "s2ldm-node.ownRay" -}}
{{- if and .Values.ray.enabled (not .Values.ray.address) -}}true{{- end -}}
{{- end -}}

{{/* Where nodes find the cluster: KubeRay calls the head's Service after the cluster. */}}
{{- define "s2ldm-node.rayAddress" -}}
{{- default (printf "%s-head-svc:6379" (include "s2ldm-node.fullname" .)) .Values.ray.address -}}
{{- end -}}

{{/*
The configuration without what a running node takes up by itself (dicom_node/config/live.py): when the rest changes, the
nodes have to start anew.
*/}}
{{- define "s2ldm-node.fixedConfig" -}}
{{- $fixed := omit .Values.config "routes" "destinations" "retention" "audit" "notify" "series" "node" "compute" -}}
{{- $series := pick (dig "series" dict .Values.config) "confirm_with" -}}
{{- $node := omit (dig "node" dict .Values.config) "peers" -}}
{{- $compute := omit (dig "compute" dict .Values.config) "job_timeout_seconds" "max_attempts" "retry_seconds" "max_memory_gib" "out_of_memory" -}}
{{- merge (dict "series" $series "node" $node "compute" $compute) $fixed | toJson -}}
{{- end -}}
