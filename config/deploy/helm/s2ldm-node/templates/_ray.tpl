{{/* KubeRay's own label of all pods of a cluster. */}}
{{- define "s2ldm-node.raySelectorLabels" -}}
ray.io/cluster: {{ include "s2ldm-node.fullname" . }}
{{- end -}}

{{/* A pod of the cluster: .root, .name of its container, .group with where it runs, .resources, .port that shows that it works. */}}
{{- define "s2ldm-node.rayPod" -}}
{{- $root := .root -}}
metadata:
  labels:
    # Without app.kubernetes.io/name, by which KubeRay's Service for the head selects.
    app.kubernetes.io/instance: {{ $root.Release.Name }}
    app.kubernetes.io/component: ray
spec:
  serviceAccountName: {{ include "s2ldm-node.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "s2ldm-node.pullSecrets" $root | nindent 2 }}
  securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  {{- with .group.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .group.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .group.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .group.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "s2ldm-node.image" (dict "root" $root "image" (ternary $root.Values.ray.image $root.Values.image (not (empty $root.Values.ray.image.repository)))) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      env:
        - {name: HOME, value: /tmp}
        {{- include "s2ldm-node.rayEnv" $root | nindent 8 }}
      securityContext: {{- include "s2ldm-node.containerSecurity" $root | nindent 8 }}
      resources: {{- toYaml .resources | nindent 8 }}
      # Given, as KubeRay's own ask Ray's dashboard by wget: the image has neither.
      livenessProbe:
        tcpSocket: {port: {{ .port }}}
        initialDelaySeconds: 60
        periodSeconds: 20
        failureThreshold: 6
      readinessProbe:
        tcpSocket: {port: {{ .port }}}
        periodSeconds: 10
      volumeMounts: {{- include "s2ldm-node.sharedMounts" $root | nindent 8 }}
  volumes: {{- include "s2ldm-node.sharedVolumes" $root | nindent 4 }}
{{- end -}}
