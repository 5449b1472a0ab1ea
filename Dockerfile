# Holds the binary and the few libraries that it needs, and nothing else: no shell, no packages.
# Nothing is pulled: deploy/build-image.sh builds the binary on this host and lays out the two
# folders below. A variant that builds inside of Docker is in docs/docker.md.
FROM scratch
COPY root/ /
# Folders that the process writes to; a new named volume takes its owner from here.
COPY --chown=10001:10001 owned/ /
USER 10001:10001
ENTRYPOINT ["/waterbear"]
CMD ["standalone"]
