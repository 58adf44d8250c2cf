#!/bin/sh
# Installs Debian packages in an image: nothing recommended, no questions, nothing left behind. Without a sync to disk
# after each file: a build that is cut short is done again anyway.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io "$@" >/dev/null
rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
