dnf --version
