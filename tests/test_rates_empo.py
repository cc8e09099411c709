"""Do the rate callbacks serve our own learner, and can a configuration file of the zoo name them?"""

import pytest
from sb3_worlds import SHORT, gate_env

from empo_sb3 import EMPO
from empo_sb3.callbacks import KLAdaptiveLR, LearningRateSchedule, MCDropoutAdaptiveLR, PerLayerLR, RNDAdaptiveLR, TwoTimescale
from empo_sb3.empo.quantities import QUANTITIES
from empo_sb3.schedules import Constant


def empo(policy="MlpPolicy", **keywords):
    policy_kwargs = {} if policy == "TablePolicy" else {"net_arch": [8]}
    return EMPO(policy, gate_env(), policy_kwargs=policy_kwargs, seed=0, batch_size=16, device="cpu", **SHORT, **keywords)


class Quantities(LearningRateSchedule):
    """A schedule that also notes the rate of every quantity at every step."""

    def start(self):
        super().start()
        self.rates = []
        names = {id(p): name.split(".")[1] for name, p in self.model.policy.named_parameters() if name.startswith("nets.")}

        def look(optimizer, *_):
            self.rates.append({names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]})

        self.handle = self.model.policy.optimizer.register_step_pre_hook(look)

    def stop(self):
        self.handle.remove()


@pytest.mark.parametrize("policy", ["TablePolicy", "MlpPolicy"])
def test_a_schedule_multiplies_the_rates_of_all_quantities(policy):
    callback = Quantities(Constant(0.5))
    model = empo(policy)
    model.learn(40, callback)
    first = model.config.learning_rate_schedules["v_h_e"](0)
    assert callback.rates[0]["v_h_e"] == 0.5 * first and set(callback.rates[0]) <= set(QUANTITIES)


@pytest.mark.parametrize("policy", ["TablePolicy", "MlpPolicy"])
def test_the_quantity_that_acts_can_be_slower_than_those_that_judge(policy):
    # With all networks in training, after the warm-up
    callback = Quantities(Constant(1.0))
    model = empo(policy)
    model.learn(1200)
    model.learn(5, [TwoTimescale(actor=0.25, critic=1.0), callback], reset_num_timesteps=False)
    q_r, v_h_e = (model.config.learning_rate_schedules[q](model._n_updates - 5) for q in ("q_r", "v_h_e"))
    assert callback.rates[0]["q_r"] == pytest.approx(0.25 * q_r) and callback.rates[0]["v_h_e"] == pytest.approx(v_h_e)


def test_networks_may_follow_novelty_and_tables_say_that_they_cannot():
    model = empo()
    model.learn(40, RNDAdaptiveLR(min=0.5, max=0.5))
    assert model.logger.name_to_value["train/learning_rate_effective"] > 0
    with pytest.raises(ValueError, match="a table's states have no features"):
        empo("TablePolicy").learn(40, RNDAdaptiveLR())


@pytest.mark.parametrize("callback", [TwoTimescale(actor=0.5), PerLayerLR({"nets.q_r.*": 0.5})], ids=["actor", "layers"])
def test_tables_that_take_means_refuse_rates_of_their_own_and_say_why(callback):
    model = empo("TablePolicy", lookup_use_adaptive_lr=True)
    with pytest.raises(ValueError, match=r"a 1/n table takes no factor on its rate: only then does a step"):
        model.learn(10, callback)
    assert model.num_timesteps == 0
    empo("TablePolicy", lookup_use_adaptive_lr=True).learn(10, TwoTimescale(actor=1.0, critic=1.0))


def test_networks_with_dropout_may_follow_how_much_their_answers_vary():
    model = empo(dropout=0.1)
    model.learn(40, MCDropoutAdaptiveLR(every=1, n_samples=2, min=0.5, max=0.5))
    assert model.logger.name_to_value["train/learning_rate_scale_dropout"] == 0.5
    with pytest.raises(ValueError, match="has no dropout"):
        empo("TablePolicy").learn(10, MCDropoutAdaptiveLR())


def test_patterns_name_networks_and_what_cannot_be_is_refused():
    empo().learn(10, PerLayerLR({"nets.v_h_e.*": 0.1}))
    with pytest.raises(ValueError, match="EMPO collects no rollouts"):
        empo().learn(10, KLAdaptiveLR())


def test_the_zoo_makes_callbacks_from_its_configuration():
    utils = pytest.importorskip("rl_zoo3.utils")
    named = {"empo_sb3.callbacks.LearningRateSchedule": {"schedule": "warmup_ramp_decay", "base": 1.0e-4}}
    made = utils.get_callback_list({"callback": [named, "empo_sb3.callbacks.KLAdaptiveLR"]})
    assert isinstance(made[0], LearningRateSchedule) and isinstance(made[1], KLAdaptiveLR)
