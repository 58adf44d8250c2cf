"""H.264 access units of test clips: parameter sets, flat grey pictures, and the SEI message around the filling.

All clauses are those of ITU-T H.264 (08/2021). A picture is one IDR slice of baseline profile: the first
macroblock has one luma DC coefficient, every other one is predicted from its neighbours without residual, so that
the picture has one grey, and a macroblock costs eight bits. The rest of an access unit is one SEI message of user
data.
"""

from __future__ import annotations

from functools import cache

WIDTH, HEIGHT = 256, 144
"""In pixels: whole macroblocks, so that nothing is cropped; 16:9."""

LENGTH_BYTES = 4
"""Of the length before each NAL unit (lengthSizeMinusOne of the avcC box is 3)."""

_MACROBLOCK = 16
_MACROBLOCKS = WIDTH * HEIGHT // _MACROBLOCK**2
_PROFILE = bytes([66, 0xC0, 51])
"""Constrained baseline (A.2.1.1), level 5.1: up to 240 Mbit/s (table A-1)."""

_QP = 42
"""Of all macroblocks: a level of 9 to 16 moves the grey by 45 to 80 (8.5.10: a step of 320 / 64 = 5 a level)."""

_GREY_STEP = 5
_MIDDLE_GREY = 128
LEVELS = (9, -9, 10, -10, 11, -11, 12, -12, 13, -13, 14, -14, 15, -15, 16, -16)
"""The luma DC levels whose code has one length: level_prefix 14 with a suffix of four bits (9.2.2.1)."""

_SEI, _IDR, _SPS, _PPS = 0x06, 0x65, 0x67, 0x68
"""First bytes of NAL units: nal_ref_idc and nal_unit_type (7.3.1)."""

_USER_DATA_UNREGISTERED = 5
_UUID_BYTES = 16
_STOP = 0x80
"""rbsp_trailing_bits of a byte-aligned payload (7.3.2.11)."""


class _Bits:
    """Bits in the order of writing."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def u(self, width: int, value: int) -> None:
        """Append an unsigned number of so many bits."""
        self._text.append(f"{value:0{width}b}")

    def ue(self, value: int) -> None:
        """Append an Exp-Golomb code (9.1)."""
        code = f"{value + 1:b}"
        self._text.append("0" * (len(code) - 1) + code)

    def se(self, value: int) -> None:
        """Append a signed Exp-Golomb code (9.1.1)."""
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def ended(self) -> bytes:
        """Return the payload with its stop bit; no byte sequence in it needs emulation prevention (7.4.1)."""
        text = "".join(self._text) + "1"
        text += "0" * (-len(text) % 8)
        payload = int(text, 2).to_bytes(len(text) // 8, "big")
        if any(payload[at : at + 2] == b"\0\0" for at in range(len(payload))):
            raise AssertionError("two zero bytes in a NAL unit: emulation prevention would be needed")
        return payload


@cache
def sequence_parameters() -> bytes:
    """Return the SPS (7.3.2.1.1): frames only, output in decoding order (pic_order_cnt_type 2)."""
    bits = _Bits()
    bits.ue(0)  # seq_parameter_set_id
    bits.ue(0)  # log2_max_frame_num_minus4
    bits.ue(2)  # pic_order_cnt_type
    bits.ue(1)  # max_num_ref_frames
    bits.u(1, 0)  # gaps_in_frame_num_value_allowed_flag
    bits.ue(WIDTH // _MACROBLOCK - 1)
    bits.ue(HEIGHT // _MACROBLOCK - 1)
    bits.u(1, 1)  # frame_mbs_only_flag
    bits.u(1, 1)  # direct_8x8_inference_flag
    bits.u(2, 0)  # frame_cropping_flag, vui_parameters_present_flag
    return bytes([_SPS]) + _PROFILE + bits.ended()


@cache
def picture_parameters() -> bytes:
    """Return the PPS (7.3.2.2): CAVLC, one slice group, deblocking controlled by the slice."""
    bits = _Bits()
    bits.ue(0)  # pic_parameter_set_id
    bits.ue(0)  # seq_parameter_set_id
    bits.u(2, 0)  # entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
    bits.ue(0)  # num_slice_groups_minus1
    bits.ue(0)  # num_ref_idx_l0_default_active_minus1
    bits.ue(0)  # num_ref_idx_l1_default_active_minus1
    bits.u(3, 0)  # weighted_pred_flag, weighted_bipred_idc
    bits.se(_QP - 26)  # pic_init_qp_minus26
    bits.se(0)  # pic_init_qs_minus26
    bits.se(0)  # chroma_qp_index_offset
    bits.u(
        3, 0b100
    )  # deblocking_filter_control_present_flag, constrained_intra_pred_flag, redundant_pic_cnt_present
    return bytes([_PPS]) + bits.ended()


def grey(number: int, fps: int) -> int:
    """Return the luma (0 to 255) of the picture with that number: another one each second, repeated after 16 s."""
    return _MIDDLE_GREY + _GREY_STEP * LEVELS[number // fps % len(LEVELS)]


@cache
def pictures() -> tuple[bytes, ...]:
    """Return every slice that a clip has: for each of LEVELS the one of even and the one of odd pictures.

    All have one length: idr_pic_id, which has to differ between neighbours (7.4.3), is 1 or 2, three bits each.
    """
    return tuple(_picture(level, idr_pic_id) for level in LEVELS for idr_pic_id in (1, 2))


def _picture(level: int, idr_pic_id: int) -> bytes:
    """Return the NAL unit of one slice (7.3.3, 7.3.5) with its length before it."""
    bits = _Bits()
    bits.ue(0)  # first_mb_in_slice
    bits.ue(7)  # slice_type: I, as all slices of the picture
    bits.ue(0)  # pic_parameter_set_id
    bits.u(4, 0)  # frame_num
    bits.ue(idr_pic_id)
    bits.u(2, 0)  # no_output_of_prior_pics_flag, long_term_reference_flag
    bits.se(0)  # slice_qp_delta
    bits.ue(1)  # disable_deblocking_filter_idc
    for macroblock in range(_MACROBLOCKS):
        bits.ue(3)  # mb_type: I_16x16_2_0_0, DC prediction, no chroma and no AC coefficients (table 7-11)
        bits.ue(0)  # intra_chroma_pred_mode: DC
        bits.se(0)  # mb_qp_delta
        if macroblock:
            bits.u(1, 1)  # coeff_token: no coefficient (table 9-5, nC 0)
            continue
        bits.u(6, 0b000101)  # coeff_token: one coefficient, no trailing one
        bits.u(15, 1)  # level_prefix 14
        bits.u(4, 2 * (abs(level) - 9) + (level < 0))  # level_suffix
        bits.u(1, 1)  # total_zeros: 0 (table 9-7)
    unit = bytes([_IDR]) + bits.ended()
    return len(unit).to_bytes(LENGTH_BYTES, "big") + unit


def message_start(identity: bytes, user_bytes: int) -> bytes:
    """Return what stands before the user data of an SEI NAL unit (7.3.2.3, D.1.7), its length included.

    `identity` are the 16 bytes of uuid_iso_iec_11578; `user_bytes` follow, and `message_end` after them.
    """
    full, rest = divmod(_UUID_BYTES + user_bytes, 255)
    head = bytes([_SEI, _USER_DATA_UNREGISTERED]) + b"\xff" * full + bytes([rest]) + identity
    length = len(head) + user_bytes + len(message_end())
    return length.to_bytes(LENGTH_BYTES, "big") + head


def message_end() -> bytes:
    """Return what stands after the user data."""
    return bytes([_STOP])
