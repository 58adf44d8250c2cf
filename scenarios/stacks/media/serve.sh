#!/bin/sh
# Starts the media service by uWSGI or gunicorn: what a variant changes is an environment variable of either.
#
#   SERVER      uwsgi (options in UWSGI_...: UWSGI_PROCESSES=10 is --processes 10) or gunicorn (GUNICORN_CMD_ARGS)
#   BIND        address and port (0.0.0.0:8000)
#   STATIC_MAP  yes: uWSGI serves /media/ from MEDIA_ROOT itself, before the application is asked
set -eu
cd "$(dirname "$0")"
bind=${BIND:-0.0.0.0:8000}

case ${SERVER:-uwsgi} in
  uwsgi)
    # need-app: without the application, which a typing error can cause, uWSGI would run and answer 500 to all.
    # max-fd: a router or an attached daemon takes time and memory for each descriptor that there could be.
    # enable-threads: default on the main branch only, no 2.0 has it.
    # A player that hangs up is no error: it does so at each seek.
    # Connection: close, because http-socket closes after each answer without saying so, and nginx would keep the dead
    # connection for the next request.
    set -- --plugin python3 --http-socket "$bind" --module studio.wsgi:application --master --need-app \
      --die-on-term --enable-threads --max-fd 4096 --mimefile studio/mime.types \
      --add-header 'Connection: close' --disable-logging --ignore-sigpipe --ignore-write-errors
    if [ "${STATIC_MAP:-no}" = yes ]; then
      # honour-range: without it, static files are whole whatever range is asked for.
      set -- "$@" --honour-range --static-map "/media=${MEDIA_ROOT:-/srv/media}"
    fi
    exec /usr/bin/uwsgi "$@"
    ;;
  gunicorn)
    # keep-alive: longer than the 60 s of nginx, or the two would race for closing a connection.
    exec /usr/bin/gunicorn --bind "$bind" --keep-alive 75 --worker-tmp-dir /dev/shm --log-level warning \
      studio.wsgi:application
    ;;
  *)
    echo "serve.sh: SERVER is $SERVER; it is uwsgi or gunicorn" >&2
    exit 2
    ;;
esac
