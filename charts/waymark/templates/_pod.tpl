{{/* What the `restricted` standard asks of a pod. Takes a user id. */}}
{{- define "waymark.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* What the `restricted` standard asks of a container, and a root that cannot be written to. */}}
{{- define "waymark.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Ports of a process. Takes name. */}}
{{- define "waymark.ports" -}}
{{- if has .name (list "all" "gateway") }}
- { name: http, containerPort: 8080 }
{{- else }}
- { name: grpc, containerPort: 9090 }
- { name: health, containerPort: 9091 }
{{- end }}
{{- end }}

{{/* How the kubelet asks a process. Over gRPC where it can: it speaks no TLS there. Takes root, name, path and service. */}}
{{- define "waymark.question" -}}
{{- if has .name (list "all" "gateway") }}
httpGet: { path: {{ .path }}, port: http }
{{- else if .root.Values.tls.existingSecret }}
httpGet: { path: {{ .path }}, port: health }
{{- else }}
grpc: { port: 9090, service: {{ .service }} }
{{- end }}
{{- end }}

{{/* Startup and liveness: the process is alive. Readiness: the service takes calls. Takes root, name and process. */}}
{{- define "waymark.probes" -}}
{{- $alive := dict "root" .root "name" .name "path" "/livez" "service" "live" }}
{{- $ready := dict "root" .root "name" .name "path" "/readyz" "service" .name }}
{{- $probes := .process.probes }}
startupProbe:
  {{- include "waymark.question" $alive | trim | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ int $probes.startupSeconds }}
livenessProbe:
  {{- include "waymark.question" $alive | trim | nindent 2 }}
  periodSeconds: {{ int $probes.livenessSeconds }}
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- include "waymark.question" $ready | trim | nindent 2 }}
  periodSeconds: {{ int $probes.readinessSeconds }}
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* The pod of a process. Takes root, name and process. */}}
{{- define "waymark.pod" -}}
{{- $values := .root.Values }}
{{- $process := .process }}
{{- $secure := and $values.tls.existingSecret (ne .name "all") }}
metadata:
  labels:
    {{- include "waymark.labels" . | nindent 4 }}
    {{- with $process.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $process.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "waymark.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # The sleep, the 20 s after which a process that stops gives up, and ten more.
  terminationGracePeriodSeconds: {{ add $process.stop.sleepSeconds 20 10 }}
  securityContext:
    {{- include "waymark.podSecurity" 1000 | nindent 4 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "waymark.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [{{ .name }}]
      env:
        {{- include "waymark.env" . | trim | nindent 8 }}
      ports:
        {{- include "waymark.ports" . | trim | nindent 8 }}
      {{- include "waymark.probes" . | trim | nindent 6 }}
      {{- if gt (int $process.stop.sleepSeconds) 0 }}
      lifecycle:
        preStop:
          sleep: { seconds: {{ int $process.stop.sleepSeconds }} }
      {{- end }}
      resources:
        {{- toYaml $process.resources | nindent 8 }}
      securityContext:
        {{- include "waymark.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - { name: data, mountPath: /data }
        {{- if $secure }}
        - { name: tls, mountPath: /tls, readOnly: true }
        {{- end }}
  {{- if or (not $process.persistence.enabled) $secure }}
  volumes:
    {{- if not $process.persistence.enabled }}
    - name: data
      emptyDir: { sizeLimit: {{ $process.persistence.size }} }
    {{- end }}
    {{- if $secure }}
    - name: tls
      secret: { secretName: {{ $values.tls.existingSecret }}, defaultMode: 288 }
    {{- end }}
  {{- end }}
  {{- with include "waymark.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Where the pods of a process go. Takes root, name and process. */}}
{{- define "waymark.placement" -}}
{{- with .process.topologyKey }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "waymark.selector" $ | nindent 8 }}
{{- end }}
{{- with .process.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .process.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .process.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .process.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
