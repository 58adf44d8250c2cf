"""The Flask services of the media stack: media, permissions (assets), uid and gid (ids), and thumbnails."""
