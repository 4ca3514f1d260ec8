{{/* What the pods of nodes and of their Ray cluster have in common: rights, images and models, Ray's token. */}}
{{- define "s2ldm-node.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "s2ldm-node.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The images and models, at the same paths wherever they are worked on. */}}
{{- define "s2ldm-node.sharedMounts" -}}
- {name: data, mountPath: /var/lib/s2ldm}
- {name: tmp, mountPath: /tmp}
{{- if or .Values.models.existingClaim .Values.models.image }}
- {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- end -}}

{{- define "s2ldm-node.sharedVolumes" -}}
- name: data
  persistentVolumeClaim: {claimName: {{ include "s2ldm-node.claimName" . }}}
- name: tmp
  emptyDir: {}
{{- if .Values.models.existingClaim }}
- name: models
  persistentVolumeClaim: {claimName: {{ .Values.models.existingClaim }}, readOnly: true}
{{- else if .Values.models.image }}
- name: models
  image: {reference: {{ .Values.models.image | quote }}, pullPolicy: {{ .Values.image.pullPolicy }}}
{{- end }}
{{- end -}}

{{/* Ray's own: everybody of a cluster shows its token. */}}
{{- define "s2ldm-node.rayEnv" -}}
- {name: RAY_AUTH_MODE, value: token}
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .Values.ray.tokenSecret.name }}, key: {{ .Values.ray.tokenSecret.key }}}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
{{- end -}}
