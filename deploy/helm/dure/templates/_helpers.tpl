{{- define "dure.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "dure.headless" -}}
{{- include "dure.name" . }}-nodes
{{- end -}}

{{- define "dure.selector" -}}
app.kubernetes.io/name: dure
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dure.labels" -}}
{{ include "dure.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dure.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dure.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "dure.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "dure.node" -}}
{{ include "dure.name" .root }}-{{ .ordinal }}
{{- end -}}

{{- define "dure.host" -}}
{{ include "dure.node" . }}.{{ include "dure.headless" .root }}.{{ .root.Release.Namespace }}.svc
{{- end -}}

{{- define "dure.check" -}}
{{- if and .Values.zone.fromPodLabel (gt (int .Values.founders) 1) -}}
{{- fail "zone.fromPodLabel needs founders: 1: founders must agree on their zones before they run; those who join tell theirs" -}}
{{- end -}}
{{- if .Values.autoscaler.enabled -}}
{{- if lt (int (default 3 .Values.autoscaler.settings.nodesMin)) (int .Values.founders) -}}
{{- fail "autoscaler.settings.nodesMin must not be less than founders: a founder that left cannot come back" -}}
{{- end -}}
{{- if or (eq (default "classic-level" (default (dict) .Values.config.storage).engine) "memory") (not .Values.persistence.enabled) -}}
{{- fail "the autoscaler needs persistence and the engine classic-level: a node that left must remember that" -}}
{{- end -}}
{{- end -}}
{{- if and (ne (toString .Values.nodes) "") (lt (int .Values.nodes) (int .Values.founders)) -}}
{{- fail "nodes must not be less than founders" -}}
{{- end -}}
{{- end -}}
