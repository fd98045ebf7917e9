{{- define "evidenced.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: a StatefulSet adds what names its pods and revisions. */}}
{{- define "evidenced.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "evidenced.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "evidenced.selector" -}}
app.kubernetes.io/name: {{ include "evidenced.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Helm itself says on each object that it is its own. */}}
{{- define "evidenced.labels" -}}
{{ include "evidenced.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "evidenced.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "evidenced.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "evidenced.image" -}}
{{- $repository := required "image.repository: name the image you built from deploy/container" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The settings as the daemon reads them. The guard's folder follows from its volume. */}}
{{- define "evidenced.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if .Values.guard.enabled -}}
{{- $_ := set $settings "guard_dir" .Values.guard.path -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* What the daemon reads at its start only: where this changes, the pod is started anew. */}}
{{- define "evidenced.atStart" -}}
{{- $settings := include "evidenced.settings" . | fromYaml -}}
{{- pick $settings "data" "guard_dir" "guard_copies" "data_key" "web" "health" "log" "network" "telemetry" | toJson | sha256sum -}}
{{- end -}}

{{- define "evidenced.healthPort" -}}
{{- regexFind "[0-9]+$" .Values.settings.health.listen -}}
{{- end -}}

{{- define "evidenced.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "evidenced.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "evidenced.env" -}}
- name: EVIDENCED_CONFIG
  value: /etc/evidenced/settings/evidenced.yaml
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Who the pod is, by the names of OpenTelemetry (https://opentelemetry.io/docs/specs/semconv/resource/k8s/). What the values say
comes after it, and may use these variables; where it says the same attributes, it says them alone.
*/}}
{{- define "evidenced.identity" -}}
{{- range $name, $path := dict "K8S_NAMESPACE_NAME" "metadata.namespace" "K8S_NODE_NAME" "spec.nodeName" "K8S_POD_NAME" "metadata.name" "K8S_POD_UID" "metadata.uid" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $path }}
{{- end }}
{{- $said := false -}}
{{- range .Values.env -}}{{- if eq .name "OTEL_RESOURCE_ATTRIBUTES" -}}{{- $said = true -}}{{- end -}}{{- end }}
{{- if not $said }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(K8S_NAMESPACE_NAME),k8s.node.name=$(K8S_NODE_NAME),k8s.pod.name=$(K8S_POD_NAME),k8s.pod.uid=$(K8S_POD_UID),k8s.statefulset.name={{ include "evidenced.fullname" . }},k8s.container.name=evidenced
{{- end }}
{{- end -}}

{{/* Mounts of what is read only: the settings, and what they refer to. */}}
{{- define "evidenced.readMounts" -}}
- name: settings
  mountPath: /etc/evidenced/settings
  readOnly: true
{{- range .Values.configMaps }}
- name: {{ printf "configmap-%s" . | trunc 63 | trimSuffix "-" }}
  mountPath: /etc/evidenced/{{ . }}
  readOnly: true
{{- end }}
{{- range .Values.secrets }}
- name: {{ printf "secret-%s" . | trunc 63 | trimSuffix "-" }}
  mountPath: /run/secrets/{{ . }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* Takes a dict of `root` and `settings`, the name of the ConfigMap with the settings. */}}
{{- define "evidenced.readVolumes" -}}
- name: settings
  configMap:
    name: {{ .settings }}
{{- range .root.Values.configMaps }}
- name: {{ printf "configmap-%s" . | trunc 63 | trimSuffix "-" }}
  configMap:
    name: {{ . }}
{{- end }}
{{- range .root.Values.secrets }}
- name: {{ printf "secret-%s" . | trunc 63 | trimSuffix "-" }}
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "evidenced.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* One line for each address that the settings or the environment name, as JSON of host and port, sorted, each once. */}}
{{- define "evidenced.destinations" -}}
{{- $urls := list -}}
{{- range $kind, $sources := .Values.settings.sources -}}
{{- /* A join reads what is recorded, and asks nobody. */ -}}
{{- if ne $kind "accounts" -}}
{{- range $sources -}}
{{- $urls = append $urls (.url | default .endpoint_url | default (get (dict "aws" "https://amazonaws.com" "github" "https://api.github.com") $kind) | default "https://anywhere") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (.Values.settings.alerts | default dict).receivers -}}
{{- range $kind, $receiver := omit . "name" -}}
{{- $urls = append $urls ($receiver.url | default "https://events.pagerduty.com") -}}
{{- end -}}
{{- end -}}
{{- range .Values.settings.anchors -}}{{- $urls = append $urls .url -}}{{- end -}}
{{- range .Values.settings.witnesses -}}{{- $urls = append $urls .url -}}{{- end -}}
{{- with ((.Values.settings.network | default dict).proxy | default dict).url -}}{{- $urls = append $urls . -}}{{- end -}}
{{- with (.Values.settings.telemetry | default dict).endpoint -}}{{- $urls = append $urls . -}}{{- end -}}
{{- range .Values.env -}}
{{- if and .value (regexMatch "^https?://" (toString .value)) -}}{{- $urls = append $urls .value -}}{{- end -}}
{{- end -}}
{{- $lines := list -}}
{{- range $urls -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- $host := regexReplaceAll ":[0-9]+$" $url.host "" | trimPrefix "[" | trimSuffix "]" -}}
{{- $lines = append $lines (printf "{\"host\":%s,\"port\":%s}" (toJson $host) $port) -}}
{{- end -}}
{{- $lines | uniq | sortAlpha | join "\n" -}}
{{- end -}}
