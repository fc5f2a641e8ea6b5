{{- /*
Checks how values fit together; values.schema.json checks each by itself. Only the Deployment, which is always rendered, includes
this. Each message names the values and what would be right.
*/ -}}
{{- /* Length of a Prometheus duration such as 1m30s. */ -}}
{{- define "headrace.milliseconds" -}}
{{- $total := 0 -}}
{{- range $unit, $milliseconds := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- /* This keeps `m` from matching the start of `ms`. */ -}}
{{- $number := regexFind (printf "[0-9]+%s([0-9]|$)" $unit) $ | regexFind "^[0-9]+" | default "0" | atoi -}}
{{- $total = add $total (mul $number $milliseconds) -}}
{{- end -}}
{{ $total }}
{{- end -}}

{{- define "headrace.checks" -}}
{{- $v := .Values -}}

{{- /* Images */ -}}
{{- if and (not $v.images.repository) (not (and $v.images.operator $v.images.trainer)) -}}
{{- fail "images.repository is not set: name the place you pushed the images to (--set images.repository=registry.example/team), or set the full names of both images with images.operator and images.trainer" -}}
{{- end -}}

{{- /* The operator's settings */ -}}
{{- $s := $v.operator.settings -}}
{{- if and $s.backoffBase $s.backoffCap (lt (float64 $s.backoffCap) (float64 $s.backoffBase)) -}}
{{- fail (printf "operator.settings.backoffCap (%v) must be at least operator.settings.backoffBase (%v)" $s.backoffCap $s.backoffBase) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $v.operator.extraEnv -}}
{{- if hasPrefix "HEADRACE_" .name -}}
{{- fail (printf "operator.extraEnv sets %s, which is a setting: set its value instead (operator.settings, or see the table in the chart's README)" .name) -}}
{{- end -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "operator.extraEnv sets %s twice" .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- range $key, $_ := fromYaml (include "headrace.selector" $) -}}
{{- if hasKey $v.operator.podLabels $key -}}
{{- fail (printf "operator.podLabels sets %s, by which the Deployment selects its pods: choose another label" $key) -}}
{{- end -}}
{{- end -}}

{{- /* The account it runs as */ -}}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the account that the operator should run as" -}}
{{- end -}}

{{- /* The CustomResourceDefinition */ -}}
{{- if and (not $v.crds.enabled) (not $v.crds.keep) -}}
{{- fail "crds.keep and crds.enabled are both false: this release has no CustomResourceDefinition to remove; leave crds.keep at true" -}}
{{- end -}}
{{- /*
The release's own Deployment records whether this release created the definition with crds.keep=false: anyone who upgrades may read it.
Looking at the definition itself would need a cluster-wide permission, and Helm fails on a 403.
*/ -}}
{{- if and .Release.IsUpgrade (not $v.crds.enabled) -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items -}}
{{- $notes := .metadata.annotations | default dict -}}
{{- if and (eq (get $notes "meta.helm.sh/release-name") $.Release.Name) (eq (get $notes "headrace.dev/definition") "goes-with-the-release") -}}
{{- fail "crds.enabled=false would delete the CustomResourceDefinition that this release installed with crds.keep=false, and with it every TrainingJob: first upgrade with crds.enabled=true and crds.keep=true" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Prometheus */ -}}
{{- $m := $v.metrics -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- $monitor := index $m $name -}}
{{- if gt (include "headrace.milliseconds" $monitor.scrapeTimeout | atoi) (include "headrace.milliseconds" $monitor.interval | atoi) -}}
{{- fail (printf "metrics.%s.scrapeTimeout (%s) must be at most metrics.%s.interval (%s): otherwise Prometheus refuses its whole configuration" $name $monitor.scrapeTimeout $name $monitor.interval) -}}
{{- end -}}
{{- end -}}
{{- if and $m.serviceMonitor.enabled (not $m.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled: a ServiceMonitor finds the operator through its Service" -}}
{{- end -}}
{{- if and $m.rules.enabled (not (and $m.serviceMonitor.enabled $m.podMonitor.enabled)) -}}
{{- fail "metrics.rules.enabled needs metrics.serviceMonitor.enabled and metrics.podMonitor.enabled: without what they scrape one alert would always fire and the others never" -}}
{{- end -}}

{{- /* NetworkPolicies */ -}}
{{- $n := $v.networkPolicies -}}
{{- if $n.enabled -}}
{{- if not $n.storage -}}
{{- fail "networkPolicies.enabled needs networkPolicies.storage: without the addresses of the object storage, trainers cannot reach their datasets; for example [{cidrs: [10.1.2.3/32], ports: [443]}]" -}}
{{- end -}}
{{- range $i, $destination := $n.storage -}}
{{- if not (or $destination.cidrs $destination.namespaceLabels $destination.podLabels) -}}
{{- fail (printf "networkPolicies.storage[%d] has no addresses and no labels: give it cidrs, or namespaceLabels or podLabels" $i) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "prometheus" "dns" "apiServer" -}}
{{- $peer := index $n $name -}}
{{- if not (or $peer.cidrs $peer.namespaceLabels $peer.podLabels) -}}
{{- fail (printf "networkPolicies.%s has no addresses and no labels: give it cidrs, or namespaceLabels or podLabels" $name) -}}
{{- end -}}
{{- end -}}
{{- if not (or $n.jobNamespaces $v.watchNamespaces) -}}
{{- fail "networkPolicies.enabled needs networkPolicies.jobNamespaces or watchNamespaces: a NetworkPolicy applies to pods of its own namespace" -}}
{{- end -}}
{{- if $v.watchNamespaces -}}
{{- range $n.jobNamespaces -}}
{{- if not (has . $v.watchNamespaces) -}}
{{- fail (printf "networkPolicies.jobNamespaces has %s, but watchNamespaces does not: the operator runs no jobs there" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
