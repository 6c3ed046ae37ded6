from ntkjax.settings.flag_names import flag_of


def test_flags_have_dashes_where_settings_have_none():
    assert flag_of("lora.rank") == "--lora.rank"
    assert flag_of("training.micro_batch") == "--training.micro-batch"
