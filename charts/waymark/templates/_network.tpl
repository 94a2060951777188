{{/* Who reaches a process: everybody the gateway; its callers a service. Takes root, name and process. */}}
{{- define "waymark.allowedIn" -}}
{{- $policy := .root.Values.networkPolicy }}
{{- $isDoor := has .name (list "all" "gateway") }}
{{- if $isDoor }}
- ports:
    - { protocol: TCP, port: 8080 }
  {{- with $policy.ingressFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if or .process.callers $policy.grpcFrom }}
- ports:
    - { protocol: TCP, port: 9090 }
  from:
    {{- range .process.callers }}
    - podSelector:
        matchLabels:
          {{- include "waymark.selector" (dict "root" $.root "name" .) | nindent 10 }}
    {{- end }}
    {{- with $policy.grpcFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- with $policy.metricsFrom }}
- ports:
    - { protocol: TCP, port: {{ ternary 8080 9091 $isDoor }} }
  from:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{/* Whom a process reaches: the services that list it as a caller, and the servers it uses. Takes root, name, process and processes. */}}
{{- define "waymark.allowedOut" -}}
{{- range $called, $process := .processes }}
{{- if has $.name $process.callers }}
- ports:
    - { protocol: TCP, port: 9090 }
  to:
    - podSelector:
        matchLabels:
          {{- include "waymark.selector" (dict "root" $.root "name" $called) | nindent 10 }}
{{- end }}
{{- end }}
{{- range $server := .process.uses }}
{{- $place := get $.root.Values.networkPolicy $server }}
{{- $isOwn := (get $.root.Values $server).enabled }}
- ports:
    - { protocol: TCP, port: {{ ternary (ternary 4222 27017 (eq $server "nats")) (int $place.port) $isOwn }} }
  {{- if $isOwn }}
  to:
    - podSelector:
        matchLabels:
          {{- include "waymark.selector" (dict "root" $.root "name" $server) | nindent 10 }}
  {{- else if $place.to }}
  to:
    {{- toYaml $place.to | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
