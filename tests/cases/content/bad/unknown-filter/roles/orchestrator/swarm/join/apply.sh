echo {{ params.mode | quote }}
