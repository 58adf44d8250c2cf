#!/usr/bin/env bash
# Makes the MP4 files of tests/unit/test_media_mp4.py anew, and what ffprobe says of each: make.sh [FOLDER]
#
# Needs ffmpeg 5.1 or newer with libx264. The files here were made with Debian 12's (5.1.9).
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")}"

encode() { # encode OUT OPTIONS...: 3 s of video with B pictures and a sync sample each second, and of audio
  ffmpeg -y -v error -f lavfi -i testsrc=size=64x48:rate=10:duration=3 -f lavfi -i sine=duration=3:sample_rate=8000 \
    -map 0:v -map 1:a "${@:2}" -c:v libx264 -preset veryfast -g 10 -keyint_min 10 -sc_threshold 0 -bf 2 -crf 40 \
    -c:a aac -b:a 8k -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 "$1"
}

encode last.mp4
copy() { ffmpeg -y -v error -i last.mp4 -map 0 -c copy -fflags +bitexact -map_metadata -1 "${@:2}" "$1"; }
copy first.mp4 -movflags +faststart
copy several.mp4 -map 0:a -map 0:v -movflags +faststart
copy long-times.mp4 -movie_timescale 2000000000 -video_track_timescale 2000000000
copy quicktime.mov -f mov
copy fragmented.mp4 -movflags +frag_keyframe+empty_moov+default_base_moof
copy fragmented-after-samples.mp4 -movflags +frag_keyframe
copy fragmented-each-track.mp4 -movflags +frag_keyframe+empty_moov+separate_moof
copy segment-index.mp4 -movflags +dash+frag_keyframe+empty_moov+global_sidx
copy segment-index-each.mp4 -movflags +dash+frag_keyframe+empty_moov

# what ffmpeg does with its `wide` and `mdat` boxes beyond 4 GiB (movenc.c, mov_write_trailer), and mdat to the end
python3 - <<'PYTHON'
import struct
from pathlib import Path

plain = bytearray(Path("last.mp4").read_bytes())
at = plain.index(b"free") - 4
(size,) = struct.unpack_from(">I", plain, at + 8)
struct.pack_into(">I4sQ", plain, at, 1, b"mdat", size + 8)
Path("wide.mp4").write_bytes(plain)

plain = bytearray(Path("first.mp4").read_bytes())
struct.pack_into(">I", plain, plain.index(b"mdat") - 4, 0)
Path("to-the-end.mp4").write_bytes(plain)
PYTHON

for file in *.mp4 *.mov; do
  ffprobe -v error -of json=c=1 -show_entries \
    'format=duration,bit_rate:stream=index,codec_tag_string,width,height:packet=stream_index,dts_time,pos,size,flags' \
    "$file" >"$file.json"
done
