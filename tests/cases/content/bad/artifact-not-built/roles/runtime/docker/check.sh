echo {{ artifacts['workload/busybx'].digest }}
