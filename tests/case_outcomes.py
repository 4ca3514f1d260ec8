"""How each series of the real data folder's ``cases``, ``odd`` and ``series`` ends, on every way in: one table for all.

The ways: selection and ``s2ldm-node translate`` in this process (``integration/test_cases.py``), and a running node that gets
the files from DCMTK's storescu and byte by byte (``integration/test_cases_on_the_wire.py``).
"""

MIN_SLICES = 8
#: Case → codes of which one is its outcome; all others are accepted.
REFUSED = {
    "intercept_lost": {"not_hounsfield"},
    "truncated_pixels": {"pixels_unreadable"},
    "two_spacings": {"irregular_spacing"},
    "two_acq_same_places": {"duplicate_positions"},
    "tilt_no_tag": {"gantry_tilt"},
    "localizer_untagged": {"mixed_orientation"},
    "coronal_capture_inside": {"mixed_orientation"},
    "seven_slices": {"too_few_slices"},
    "position_missing": {"geometry_missing"},
    "pixelspacing_missing": {"geometry_missing"},
    "ds_comma_spacing": {"geometry_invalid"},
    "uid_too_long": {"source_header_incomplete"},
    "study_uid_missing": {"source_header_incomplete"},
    "two_patients": {"mixed_patients"},
    "rescale_missing": {"not_hu"},
    "dup_sop_uid_end": {"conflicting_instances"},
}
ACCEPTED = (
    "plain", "slope_per_slice", "highbits_overlay", "signed12_zeroed", "padding_unsigned_vr", "padding_zero_is_water", "monochrome1",
    "jls_signed13", "j2k_signed13", "j2k_unsigned_stream_signed_header", "rle_signed16", "iop_jitter", "pos_rounded", "prone",
    "feet_first", "decubitus", "localizer_inside", "dose_report_inside", "order_scrambled", "instance_number_all_one",
    "instance_number_missing", "eight_slices", "nonsquare", "for_missing_first", "many_slices", "ds_too_long", "ds_comma_location",
    "is_as_float", "vr_binary_for_ds", "uid_leading_zero", "charset_unknown", "charset_gb18030_in_latin1", "ids_too_long", "ids_empty",
    "trailing_zeros", "trailing_padding_element", "modality_missing_end", "lo_in_sequence_tag_implicit", "un_private_sequences",
    "contrast_text_none", "big_endian", "deflated", "for_per_slice",
)  # fmt: skip
#: Refused by the receiver, before there is a series; the objects are in quarantine.
REFUSED_BY_THE_RECEIVER = {
    "uid_too_long": "identifier_invalid",
    "study_uid_missing": "identifier_missing",
    "series/cect-body-siemens-j2k": "identifier_missing",
}
#: What ``odd`` and ``series`` hold, by its path there: the outcome of each series on the wire, in order.
REAL = {
    "series/ncct-chest-siemens": ["accepted"],
    "series/cect-chest-ge-lungkernel": ["enhanced"],
    "series/cect-body-siemens-j2k": ["enhanced"],
    "series/ncct-head-ge-tilt": ["gantry_tilt"],
    "odd/J2K_pixelrep_mismatch.dcm": ["too_few_slices"],
    "odd/duplicate-position": ["enhanced"],
    "odd/enhanced/23x38x3": ["not_hu", "not_hu"],
    "odd/enhanced/eCT_Supplemental.dcm": ["derived_map"],
    "odd/nonsquare-oriented": ["not_hu"],
    "odd/philips-phantom-nonaxial": ["localizer", "secondary_capture"],
    "odd/same-position-2x": ["too_few_slices"],
    "odd/tiny-study-98892001": ["localizer", "too_few_slices"],
    "odd/transfer-syntaxes": ["conflicting_instances"],
}
#: What `translate` says of a whole folder, where it is not the outcome of the only series.
REAL_TRANSLATED = {
    "odd/enhanced/23x38x3": "several_series",
    "odd/philips-phantom-nonaxial": "several_series",
    "odd/tiny-study-98892001": "too_few_slices",
}
#: Faults that storescu meets itself, and why; they reach a node from others, so they are sent byte by byte only.
NOT_SENT_BY_STORESCU = {
    "lo_in_sequence_tag_implicit": "its parser stops where text stands in place of a sequence",
    "series/cect-body-siemens-j2k": "it takes the SOP class from the data set alone, where it is empty",
}
#: What storescu must be told to propose a compressed transfer syntax.
STORESCU_OPTIONS = {
    "jls_signed13": "-xt",
    "j2k_signed13": "-xv",
    "j2k_unsigned_stream_signed_header": "-xv",
    "rle_signed16": "-xr",
    "odd/J2K_pixelrep_mismatch.dcm": "-xv",
}
