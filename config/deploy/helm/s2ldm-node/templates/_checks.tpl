{{/* What contradicts itself is refused before anything is installed. */}}
{{- define "s2ldm-node.checks" -}}
{{- $config := .Values.config -}}
{{- $replicas := int .Values.replicas -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is missing: no registry has this image. Build it from the Dockerfile, push it to a registry of yours and name that." -}}
{{- end -}}
{{- if not (hasKey $config "destinations") -}}
{{- fail "config.destinations is missing: say where derived series go, or {} with routes that have destinations: [] to keep them in data_dir." -}}
{{- end -}}

{{- if hasKey (dig "node" dict $config) "data_dir" -}}
{{- fail "config.node.data_dir is the chart's own, a folder on the volume of storage: take it out." -}}
{{- end -}}
{{- if hasKey (dig "node" dict $config) "database" -}}
{{- fail "config.node.database would stand in a ConfigMap for everybody to read: use database.urlSecret, or database.url and database.passwordSecret." -}}
{{- end -}}
{{- if hasKey (dig "compute" dict $config) "executor" -}}
{{- fail "config.compute.executor follows from ray.enabled: take it out." -}}
{{- end -}}
{{- if hasKey (dig "compute" "ray" dict $config) "address" -}}
{{- fail "config.compute.ray.address is the chart's own: name a cluster that is there in ray.address." -}}
{{- end -}}
{{- range $section := list "node" "web" -}}
{{- $host := dig $section "host" "0.0.0.0" $config | toString -}}
{{- if or (hasPrefix "127." $host) (has $host (list "localhost" "::1")) -}}
{{- fail (printf "config.%s.host %s answers within its pod alone, where nobody asks: take it out, or use :: with IPv6." $section $host) -}}
{{- end -}}
{{- end -}}
{{- range $key, $port := dict "config.node.port" (include "s2ldm-node.dicomPort" .) "config.node.tls.port" (include "s2ldm-node.dicomTlsPort" .) "config.web.port" (include "s2ldm-node.webPort" .) -}}
{{- if and $port (lt (int $port) 1024) -}}
{{- fail (printf "%s %s needs rights that the pod does not have: leave it above 1023, and publish %s by service." $key $port $port) -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll "/etc/s2ldm/secrets/[^/\"\\s]+" (toJson $config) -1 -}}
{{- if not (hasKey $.Values.secretFiles (base .)) -}}
{{- fail (printf "config names a file in %s, but secretFiles has no %s: name the Secret there." . (base .)) -}}
{{- end -}}
{{- end -}}
{{- range $title, $route := dig "routes" dict $config -}}
{{- $model := dig "model" "" (default dict $route) -}}
{{- if and (hasPrefix "/models/" $model) (not $.Values.models.existingClaim) (not $.Values.models.image) -}}
{{- fail (printf "config.routes.%s.model is %s, but nothing is mounted at /models: set models.existingClaim or models.image." $title $model) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.models.existingClaim .Values.models.image -}}
{{- fail "models.existingClaim and models.image are both to be mounted at /models: give one of them." -}}
{{- end -}}

{{- if and .Values.database.urlSecret.name .Values.database.url -}}
{{- fail "database.urlSecret and database.url both say where the database is: give one of them." -}}
{{- end -}}
{{- if and .Values.database.url (not (regexMatch "^postgresql\\+psycopg://[^\\s:@/]+@[^\\s@]+$" .Values.database.url)) -}}
{{- fail "database.url must be postgresql+psycopg://user@host/database without a password: give that in database.passwordSecret, or the whole URL in database.urlSecret." -}}
{{- end -}}
{{- if contains "password=" .Values.database.url -}}
{{- fail "database.url holds a password, which everybody could read who may see the StatefulSet: give it in database.passwordSecret." -}}
{{- end -}}
{{- if and .Values.database.passwordSecret.name (not .Values.database.url) -}}
{{- fail "database.passwordSecret belongs to database.url, which is missing." -}}
{{- end -}}
{{- if and (gt $replicas 1) (not (include "s2ldm-node.hasDatabase" .)) -}}
{{- fail (printf "%d nodes need one PostgreSQL, and SQLite is one node's: set database.urlSecret or database.url, or replicas: 1." $replicas) -}}
{{- end -}}

{{- $mode := include "s2ldm-node.accessMode" . -}}
{{- if and (gt $replicas 1) (ne $mode "ReadWriteMany") -}}
{{- fail (printf "%d nodes on several machines mount one volume, which %s does not allow: set storage.accessMode: ReadWriteMany, or replicas: 1." $replicas $mode) -}}
{{- end -}}
{{- if and .Values.ray.enabled (ne $mode "ReadWriteMany") -}}
{{- fail (printf "Actors of a Ray cluster mount the nodes' volume, which %s does not allow: set storage.accessMode: ReadWriteMany." $mode) -}}
{{- end -}}

{{- if and (not .Values.service.dicom.plain) (not (include "s2ldm-node.dicomTlsPort" .)) -}}
{{- fail "service.dicom.plain is false and there is no TLS port, so that nobody could send: set config.node.tls." -}}
{{- end -}}

{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is missing: under which name shall the console be found?" -}}
{{- end -}}

{{- if and .Values.ray.address (not (regexMatch "^[A-Za-z0-9.-]+:[0-9]+$" .Values.ray.address)) -}}
{{- fail (printf "ray.address %s must be host:port of the head (its GCS, 6379): each node's pod becomes a machine of the cluster, as Ray's client (ray://) does not let an actor tell its progress." .Values.ray.address) -}}
{{- end -}}
{{- if and .Values.ray.address (not .Values.ray.enabled) -}}
{{- fail "ray.address is given, but ray.enabled is false." -}}
{{- end -}}
{{- if and .Values.ray.enabled (not .Values.ray.tokenSecret.name) -}}
{{- fail "ray.tokenSecret.name is missing: who may talk to a Ray cluster may run code on it. Name a Secret that holds the cluster's token." -}}
{{- end -}}
{{- if include "s2ldm-node.ownRay" . -}}
{{- $workers := .Values.ray.workers -}}
{{- $least := ternary $workers.replicas $workers.minReplicas (kindIs "invalid" $workers.minReplicas) -}}
{{- $most := ternary $workers.replicas $workers.maxReplicas (kindIs "invalid" $workers.maxReplicas) -}}
{{- if or (gt (int $least) (int $workers.replicas)) (lt (int $most) (int $workers.replicas)) -}}
{{- fail (printf "ray.workers.replicas is %d, which is not between minReplicas %d and maxReplicas %d." (int $workers.replicas) (int $least) (int $most)) -}}
{{- end -}}
{{- $each := dig "compute" "ray" "gpus" 1 $config -}}
{{- $wanted := mulf $replicas (dig "compute" "ray" "workers" 1 $config) $each -}}
{{- $there := mulf $most $workers.gpus -}}
{{- if gt (float64 $wanted) (float64 $there) -}}
{{- fail (printf "The actors of %d nodes take %v GPUs (replicas × config.compute.ray.workers × config.compute.ray.gpus), and ray.workers has %v at most (maxReplicas × gpus)." $replicas $wanted $there) -}}
{{- end -}}
{{- end -}}
{{- end -}}
