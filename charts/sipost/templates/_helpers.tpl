{{- define "sipost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sipost.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "sipost.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sipost.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sipost.selector" -}}
app.kubernetes.io/name: {{ include "sipost.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sipost.labels" -}}
{{ include "sipost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sipost.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The pod, the same in both modes but for where the store is. */}}
{{- define "sipost.pod" -}}
metadata:
  labels:
    {{- include "sipost.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Another configuration makes other pods.
    checksum/config: {{ .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "sipost.fullname" . }}
  automountServiceAccountToken: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: sipost
      image: {{ include "sipost.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - { name: SIPOST_CONFIG, value: /etc/sipost/sipost.toml }
        - { name: SIPOST__HTTP__LISTEN, value: "0.0.0.0:8080" }
        {{- if eq .Values.store "postgres" }}
        - { name: SIPOST__STORE__URL, value: {{ .Values.postgres.url | quote }} }
        - { name: SIPOST__STORE__PASSWORD_FILE, value: /run/secrets/postgres/password }
        {{- else }}
        - { name: SIPOST__STORE__URL, value: "sqlite:///var/lib/sipost/sipost.db" }
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - { name: http, containerPort: 8080, protocol: TCP }
      startupProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 1
        failureThreshold: 120
      livenessProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: http }
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      {{- if .Values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep: { seconds: {{ .Values.preStopSeconds }} }
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: config, mountPath: /etc/sipost, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        - { name: store, mountPath: /var/lib/sipost }
        {{- if .Values.existingSecrets }}
        - { name: secrets, mountPath: /run/secrets/sipost, readOnly: true }
        {{- end }}
        {{- if eq .Values.store "postgres" }}
        - { name: postgres, mountPath: /run/secrets/postgres, readOnly: true }
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "sipost.fullname" . }} }
    - name: tmp
      emptyDir: {}
    {{- if .Values.existingSecrets }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range .Values.existingSecrets }}
          - secret: { name: {{ . }} }
          {{- end }}
    {{- end }}
    {{- if eq .Values.store "postgres" }}
    - name: store
      emptyDir: {}
    - name: postgres
      secret:
        secretName: {{ .Values.postgres.passwordSecret.name }}
        defaultMode: 0440
        items:
          - { key: {{ .Values.postgres.passwordSecret.key }}, path: password }
    {{- else if .Values.sqlite.existingClaim }}
    - name: store
      persistentVolumeClaim: { claimName: {{ .Values.sqlite.existingClaim }} }
    {{- end }}
  {{- if eq .Values.store "postgres" }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "sipost.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
