"""A progress bar that says what is being learned."""

from stable_baselines3.common.callbacks import ProgressBarCallback


class StageProgressBar(ProgressBarCallback):
    """SB3's progress bar, beginning with the name of EMPO's present stage; ``EMPO.learn(progress_bar=True)`` shows it."""

    def _on_step(self) -> bool:
        name = self.model.config.get_warmup_stage_name(self.model._n_updates)  # type: ignore[attr-defined]
        if self.pbar.desc != f"{name}: ":
            self.pbar.set_description(name, refresh=False)
        return super()._on_step()
