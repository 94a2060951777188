{{/* Name of all objects: the release's, with `waymark` in it. */}}
{{- define "waymark.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "waymark" .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-waymark" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Name of the Service of a process: the way in has the name of all objects, the others their own. Takes root and name. */}}
{{- define "waymark.address" -}}
{{- $fullname := include "waymark.fullname" .root }}
{{- ternary $fullname (printf "%s-%s" $fullname .name) (has .name (list "all" "gateway")) }}
{{- end }}

{{/* By what a Service, a policy or a budget knows the pods of a process. Takes root and name. */}}
{{- define "waymark.selector" -}}
app.kubernetes.io/name: waymark
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* Labels of an object. Takes root and name. */}}
{{- define "waymark.labels" -}}
{{ include "waymark.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: waymark
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "waymark.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "waymark.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "waymark.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
