"""Where compiled programs are kept: in a folder that was chosen, else in the user's cache."""

import jax

from cfd2gray.compile_cache import use_compile_cache


def test_programs_are_kept_where_nothing_else_was_chosen(monkeypatch, tmp_path):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setenv("CFD2GRAY_CACHE", str(tmp_path))
    try:
        use_compile_cache()
        assert {name: getattr(jax.config, name) for name in names} == before, "the tests' own folder was chosen"
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        jax.config.update("jax_compilation_cache_dir", None)
        use_compile_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "xla") and (tmp_path / "xla").is_dir()
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
