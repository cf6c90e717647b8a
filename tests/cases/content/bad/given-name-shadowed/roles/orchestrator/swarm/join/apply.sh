{% set machine = 1 %}
