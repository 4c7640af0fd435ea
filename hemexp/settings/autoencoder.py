"""Settings of the autoencoder and of its training."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from hemexp.settings.section import Fraction, Released, Section


class Autoencoder(Section):
    """The network that turns slices (CT, IPH, IVH) into latents and back, and its training."""

    model: Released
    """Folder of released models, a run's results or a bundle; null: trained here."""
    stem_factor: PositiveInt
    """Side of the pixel block that is folded into channels before the encoder; 1: the published
    network. More: quicker, coarser latents."""
    channels: list[PositiveInt]
    """Width of each level; every level after the first halves the image. More: slower, may hold
    more detail."""
    res_blocks: PositiveInt
    """Residual blocks a level. More: slower, deeper."""
    norm_groups: PositiveInt
    """Groups of the group normalisation; must divide every width in `channels`. More: finer
    groups."""
    latent_channels: PositiveInt
    """Numbers kept at every latent. More: better images back, more for the denoiser to learn."""
    feature_channels: PositiveInt
    """Width of the decoder's last features, which the three heads read. More: slower, finer."""
    nonlocal_attention: bool
    """Attention between all latents of a slice, where encoder and decoder are narrowest; true: the
    published network. Slower; what it adds to quality was not measured."""
    linear_path: bool
    """Linear maps beside the network, on HU centred on brain; false: the published network."""
    ct_weight: NonNegativeFloat
    """Weight of the CT's squared error in the loss. More: sharper CT, at the masks' expense."""
    iph_weight: NonNegativeFloat
    """Weight of the IPH mask's error (Dice and cross-entropy). More: better IPH masks."""
    ivh_weight: NonNegativeFloat
    """The same for IVH."""
    kl_weight: NonNegativeFloat
    """Weight of the pull of latents towards a standard normal. More: smoother latents, blurred
    images."""
    perceptual_weight: NonNegativeFloat
    """Weight of the perceptual distance; 0: none. More: more texture. Needs
    `perceptual_weights`."""
    perceptual_start: NonNegativeInt
    """Step at which the perceptual term joins. More: later."""
    perceptual_weights: str | None
    """Local file of ResNet-50 weights for the perceptual term; nothing is fetched."""
    adversarial_weight: NonNegativeFloat
    """Weight of fooling the discriminator; 0: no discriminator. More: crisper, less true
    images."""
    adversarial_start: NonNegativeInt
    """Step at which the adversarial term joins. More: later."""
    steps: PositiveInt
    """Steps of the optimiser. More: longer training, better images, until they level out."""
    batch_slices: PositiveInt
    """Slices a micro-batch. More: more memory, quicker on a GPU."""
    accumulate: PositiveInt
    """Micro-batches a step; processes share them. More: slower steps, steadier gradients, no more
    memory."""
    blood_share: Fraction
    """Share of a batch drawn from slices with blood; the rest comes from all slices. More: the
    masks learn quicker, the rest of the brain slower."""
    optimiser: Literal["adam", "adamw"]
    """`adamw` also lets weights decay."""
    learning_rate: PositiveFloat
    """Highest rate of the optimiser. More: quicker, then unstable."""
    discriminator_learning_rate: PositiveFloat
    """The same of the discriminator."""
    schedule: Literal["one_cycle", "cosine"]
    """Course of the learning rate: up and down, or down alone."""
    augment_prob: Fraction
    """How often a slice is turned, shifted and scaled a little. More: less is learned by heart,
    and slower."""
    checkpoint_every: PositiveInt
    """Steps between checkpoints. More: less writing, more lost when a job is killed."""
    precision: Literal["fp32", "bf16"]
    """Number format of the network's arithmetic in training; weights and losses stay fp32. `bf16`
    is quicker on recent GPUs."""
    compile: bool
    """`torch.compile`: minutes at the start for quicker steps. Not for fewer than 500 `steps`."""
    channels_last: bool
    """Memory layout that a GPU's bf16 convolutions like best."""
    fused: bool
    """The optimiser steps all weights in one kernel."""

    @property
    def downsampling(self) -> int:
        """Grid voxels per latent along x and y."""
        return self.stem_factor * 2 ** (len(self.channels) - 1)
