"""What EMPO says while it trains: the console's stage transitions and the logger's keys."""

from typing import Any

from stable_baselines3.common.callbacks import ProgressBarCallback

from empo_sb3.empo.timeline import FULL_STAGE, RAMP_STAGE, Stage, networks_mask


def report_stage(algorithm: Any, stage: Stage, cleared: int) -> None:
    """
    Tell that a stage begins.

    :param stage: the new stage; ``algorithm.stage`` is still the one before, None at the start
    :param cleared: pairs that were dropped from replay
    """
    logger, before = algorithm.logger, algorithm.stage
    logger.record("Warmup/stage_transition", 0.0 if before is None else 1.0)
    if algorithm.verbose < 1:
        return
    active = f"active networks: {', '.join(stage.networks)}"
    if before is None:
        print(f"[Warmup] Starting in stage {stage.number}: {stage.name} ({active})")
        return
    step, beta_r = algorithm._n_updates, float(algorithm.policy.beta_r)
    print(f"[Warmup] Stage transition at step {step}, episode {algorithm._episode_num}: {before.name} -> {stage.name}")
    print(f"  {active}; effective beta_r: {beta_r:.4f}")
    if stage.number in (RAMP_STAGE, FULL_STAGE):
        stored = algorithm.replay_buffer.n_stored()
        aged = f"Replay keeps its {stored} pairs, and each new one takes the place of the oldest"
        print(
            f"  [Training] {aged if algorithm.config.replay_at_ramp == 'age' else f'Cleared replay buffer ({cleared} pairs)'}"
        )


def report_training(algorithm: Any, losses: dict[str, float], factor: float) -> None:
    """
    Record the state of the training after its last step.

    :param losses: mean squared error of each network that trained
    :param factor: what multiplies every learning rate
    """
    logger, config, step = algorithm.logger, algorithm.config, algorithm._n_updates
    stage = config.get_stage(step)
    logger.record("train/n_updates", step, exclude="tensorboard")
    for q, loss in losses.items():
        logger.record(f"train/{q}_loss", loss)
    for q, schedule in config.learning_rate_schedules.items():
        logger.record(f"LearningRate/{q}", factor * schedule(step))
    logger.record("Warmup/stage", stage.number)
    # a transition stays recorded until the logger has written it
    if "Warmup/stage_transition" not in logger.name_to_value:
        logger.record("Warmup/stage_transition", 0.0)
    logger.record("Warmup/effective_beta_r", config.get_effective_beta_r(step))
    logger.record("Warmup/is_warmup", float(stage.number < RAMP_STAGE))
    logger.record("Warmup/active_networks_mask", networks_mask(stage.networks))


class StageProgressBar(ProgressBarCallback):
    """SB3's progress bar, beginning with the name of EMPO's present stage; ``EMPO.learn(progress_bar=True)`` shows it."""

    def _on_step(self) -> bool:
        name = self.model.config.get_warmup_stage_name(self.model._n_updates)  # type: ignore[attr-defined]
        if self.pbar.desc != f"{name}: ":
            self.pbar.set_description(name, refresh=False)
        return super()._on_step()
