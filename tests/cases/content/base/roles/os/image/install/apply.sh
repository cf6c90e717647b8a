echo {{ artifacts['image/' ~ params.os].url | q }} {{ erase.drive_serial | q }}
{% if params.hostname_suffix is defined %}
echo {{ params.hostname_suffix | q }}
{% endif %}
