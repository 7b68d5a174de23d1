"""The checker behind the shape annotations in tests: whole numbers pass where floats are asked for."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
