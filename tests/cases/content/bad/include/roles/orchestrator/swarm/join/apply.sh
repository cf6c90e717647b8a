{% include 'common.sh' %}
