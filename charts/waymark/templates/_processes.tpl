{{/* Lays one map over another, in place: maps key by key, all else replaces, so 0, false and "" survive. Takes onto and over. */}}
{{- define "waymark.lay" -}}
{{- range $key, $value := .over }}
{{- $below := get $.onto $key }}
{{- if and (kindIs "map" $value) (kindIs "map" $below) }}
{{- include "waymark.lay" (dict "onto" $below "over" $value) }}
{{- else }}
{{- $_ := set $.onto $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* Puts the processes of the shape into a map by name, each laid over the defaults. Takes root and into. */}}
{{- define "waymark.processes" -}}
{{- $values := .root.Values }}
{{- $own := ternary (dict "all" $values.allInOne) $values.services (eq $values.shape "allInOne") }}
{{- range $name, $over := $own }}
{{- $process := deepCopy $values.defaults }}
{{- include "waymark.lay" (dict "onto" $process "over" $over) }}
{{- $_ := set $.into $name $process }}
{{- end }}
{{- end }}

{{/* Fewest pods of a process. */}}
{{- define "waymark.fewest" -}}
{{- ternary .autoscaling.minReplicas .replicas .autoscaling.enabled | int }}
{{- end }}

{{/* A server's URL for the processes: from a Secret, from the values, or of the single one beside them. Takes name, server and own. */}}
{{- define "waymark.serverUrl" -}}
- name: {{ .name }}
  {{- if .server.existingSecret.name }}
  valueFrom:
    secretKeyRef:
      name: {{ .server.existingSecret.name }}
      key: {{ .server.existingSecret.key }}
  {{- else }}
  value: {{ .server.url | default .own | quote }}
  {{- end }}
{{- end }}

{{/* A key out of the Secret of keys. Takes root, name and optional. */}}
{{- define "waymark.key" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.keys.existingSecret }}
      key: {{ .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/* Environment of a process. Takes root, name and process. */}}
{{- define "waymark.env" -}}
{{- $values := .root.Values }}
{{- $fullname := include "waymark.fullname" .root }}
- name: WAYMARK_DATA
  value: /data
- name: WAYMARK_DEMO
  value: {{ ternary "on" "off" (and $values.demo (eq .name "all")) | quote }}
{{- if has .name (list "all" "access") }}
{{ include "waymark.key" (dict "root" .root "name" "WAYMARK_ADMIN_KEY") }}
{{- end }}
{{ include "waymark.key" (dict "root" .root "name" "WAYMARK_MASTER_KEY" "optional" (eq .name "all")) }}
{{- if has .name (list "all" "tags") }}
{{ include "waymark.key" (dict "root" .root "name" "WAYMARK_TAG_KEY" "optional" true) }}
{{- end }}
{{- if $values.publicUrl }}
- name: WAYMARK_PUBLIC_URL
  value: {{ $values.publicUrl | quote }}
{{- end }}
- name: WAYMARK_TRUSTED_PROXIES
  value: {{ join "," $values.trustedProxies | quote }}
- name: WAYMARK_RATE_LIMITS
  value: {{ $values.rateLimits | quote }}
- name: WAYMARK_LOG_LEVEL
  value: {{ $values.logLevel | quote }}
{{- if $values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $values.telemetry.otlpEndpoint | quote }}
{{- end }}
{{- if ne .name "all" }}
- name: WAYMARK_PEERS
  value: "*=dns:///{{ $fullname }}-{service}:9090"
{{- end }}
{{- if has "nats" .process.uses }}
{{ include "waymark.serverUrl" (dict "name" "WAYMARK_NATS_URL" "server" $values.nats "own" (printf "nats://%s-nats:4222" $fullname)) }}
- name: WAYMARK_NATS_REPLICAS
  value: {{ $values.nats.logReplicas | quote }}
- name: WAYMARK_LOG_RETENTION_DAYS
  value: {{ $values.nats.logRetentionDays | quote }}
{{- end }}
{{- if has "mongodb" .process.uses }}
{{ include "waymark.serverUrl" (dict "name" "WAYMARK_MONGODB_URL" "server" $values.mongodb "own" (printf "mongodb://%s-mongodb:27017/waymark" $fullname)) }}
{{- end }}
{{- if and $values.tls.existingSecret (ne .name "all") }}
- name: WAYMARK_TLS_CERT
  value: /tls/tls.crt
- name: WAYMARK_TLS_KEY
  value: /tls/tls.key
- name: WAYMARK_TLS_CA
  value: /tls/ca.crt
{{- end }}
{{- with concat $values.extraEnv .process.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
