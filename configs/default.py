"""Every number of a training run, once, with its unit and its reason. Other configs change a few of these.

    cfd2gray train --config configs/default.py --config.data.dir=records --workdir runs/first

An unknown key is an error. ``None`` stands for "decide from the machine or the data".
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0  # of everything random: initial parameters, data order, augmentation

    # Weights the generator starts from: a file of `cfd2gray export`, a run's folder or "pretrained"; empty: from nothing.
    config.init = ""

    # --- data ---------------------------------------------------------------------------------------------------
    config.data = data = ml_collections.ConfigDict()
    data.dir = ""  # folder written by `cfd2gray pack` or `cfd2gray simulate`; empty when only `mixture` is used
    # (source, weight) pairs mixed by weight: "records" (data.dir), "simulation" and "painted" (made while training).
    data.mixture = (("records", 1.0),)
    data.simulated_clips = 20_000  # clips per epoch of the on-the-fly sources
    data.simulated_size = 0  # px of these, to be cropped and resized like records; 0: data.size
    data.views = ()  # only clips of these views are used; empty: all
    # Only clips with this kind of target: "shared" (the B-mode under the colour), "restored" (a dedicated one) or "any".
    data.targets = "any"
    data.frames = 32  # frames per training window, evidence at its ends included (train.margin)
    data.size = 128  # px, the square the sector is resized to
    data.batch_size = 32  # clips per step over all processes
    data.num_workers = 0  # processes that prepare clips, per training process; raise when data-wait % is high
    data.num_threads = 2  # reading threads when num_workers is 0
    data.prefetch = 2  # batches kept ready on the devices
    # A record's checksum is checked the first time a process reads it ("once"), at every reading ("always": a quarter of
    # the time on raw records) or "never".
    data.verify_crc = "once"

    config.augment = augment = ml_collections.ConfigDict()
    augment.crop_probability = 0.5  # share of clips cut to a random square
    augment.min_scale = 0.8  # smallest side of that square, as a share of the frame's; log-uniform up to 1
    augment.max_stride = 2  # every 1st .. 2nd frame: frame-rate jitter
    augment.flip_probability = 0.0  # left and right are diagnostic
    augment.reverse_probability = 0.0  # flow and valves know the arrow of time
    augment.gain = 0.15  # largest relative change of brightness, input and target alike
    augment.gamma = 0.15  # largest relative change of the grey curve's exponent
    augment.contrast = 0.15
    augment.smooth_probability = 0.0  # share of clips whose tissue is smoothed, input and target alike
    augment.max_smooth = 1.5  # px, largest sigma of that smoothing
    augment.jpeg_probability = 0.3  # share of clips whose input is recompressed
    augment.jpeg_quality = (60, 95)  # libjpeg quality range
    augment.max_dilation = 3  # px by which the hidden mask grows at most, in half of the clips
    augment.hold_probability = 0.0  # share of clips whose colour stays where it was: real jets hide for many frames
    augment.max_hold = 32  # frames that it stays at most; log-uniform

    # --- model --------------------------------------------------------------------------------------------------
    config.model = model = ml_collections.ConfigDict()
    model.width = 64  # channels of AnatomyNet at half resolution, best a multiple of 64; 0 leaves it out (ablation)
    model.levels = 3  # halvings below half resolution: reach of 2 ** (levels + 1) px and more
    model.blocks = 2  # residual blocks per stage
    model.denoise_width = 64
    model.denoise_blocks = 4  # 0 leaves DenoiseNet out (ablation)
    model.fill_radius = 16  # frames either way in which the first guess looks for what is hidden: half a beat
    model.temporal = True  # False: every frame on its own (ablation)
    model.causal = False  # True: frames see earlier ones only, so that `Translator.stream` works frame by frame
    model.remat = False  # True: the gradient keeps less and computes more; for a batch that does not fit (GPU, TPU)
    model.dtype = "float32"  # compute dtype; "bfloat16" on GPU and TPU (parameters stay float32)

    config.discriminator = discriminator = ml_collections.ConfigDict()
    discriminator.width = 64
    discriminator.levels = 3  # a patch of 16 px stride, some 60 px seen

    # --- losses -------------------------------------------------------------------------------------------------
    config.loss = loss = ml_collections.ConfigDict()
    loss.pixel_anatomy = 1.0  # Charbonnier between AnatomyNet's output and truth
    loss.pixel = 1.0  # the same for the final output
    loss.structure = 0.3  # 1 - SSIM of the final output
    loss.perceptual = 0.1  # VGG16 feature distance
    loss.adversarial = 0.02
    loss.temporal = 0.5  # frame-to-frame change against truth's
    loss.texture = 0.5  # strength of speckle against truth's, wherever its grains fall
    loss.shimmer = 0.5  # strength of its change from frame to frame against truth's, wherever it happens
    loss.confidence = 0.05  # likelihood of the found error under the predicted scale; does not steer the image
    loss.adversarial_kind = "hinge"  # or "least_squares"
    loss.hidden_gain = 8.0  # weight of hidden pixels over visible ones
    loss.perceptual_layers = ("relu1_2", "relu2_2", "relu3_3")
    loss.perceptual_frames = 4  # random frames per clip that go through VGG; 0: all
    loss.perceptual_weights = ""  # safetensors from `cfd2gray convert-vgg`; empty: the embedded ones
    loss.charbonnier_epsilon = 1e-3  # of full scale: below it differences count quadratically, in every term

    # --- optimisation -------------------------------------------------------------------------------------------
    config.train = train = ml_collections.ConfigDict()
    train.steps = 100_000
    train.warmup_anatomy = 5_000  # steps before the critics (discriminator and VGG) join: half the cost of a step
    train.learning_rate = 2e-4  # of the generator at its peak, for the global batch above; scale with its square root
    train.discriminator_rate = 2e-4
    train.warmup = 1_000  # steps of linear rise
    train.final_rate = 0.05  # of the peak, at the end of the cosine
    train.beta1 = 0.9
    train.beta1_discriminator = 0.5
    train.beta2 = 0.99
    train.weight_decay = 0.0
    train.clip_norm = 1.0  # global gradient norm, both networks
    train.ema = 0.999  # decay of the averaged generator, which is what evaluation and translation use
    # Frames at either end of a training window that only the first guess looks at: evidence from far away costs next to
    # nothing, networks and losses work on data.frames - 2 * margin frames.
    train.margin = 8
    train.accumulate = 1  # micro-batches per step; batch_size must be a multiple of it times the data devices

    # --- running ------------------------------------------------------------------------------------------------
    config.mesh = mesh = ml_collections.ConfigDict()
    # Devices over which the batch is split; -1: all that are left. Without an accelerator every core is a device, as far
    # as the batch can be shared evenly.
    mesh.data = -1
    mesh.fsdp = 1  # devices over which parameters and optimizer state are split as well
    mesh.fsdp_min_size = 16_384  # elements: smaller arrays stay replicated

    config.log = log = ml_collections.ConfigDict()
    log.every = 100  # steps between metric lines
    log.images_every = 2_000  # steps between image strips; 0: never
    log.tensorboard = True  # also write TensorBoard files when TensorFlow is installed

    config.checkpoint = checkpoint = ml_collections.ConfigDict()
    checkpoint.every = 2_000  # steps; 0: not by steps
    # Minutes, besides: what a crash costs at most, however fast the machine is. 0: not by time.
    checkpoint.minutes = 0.0
    # Minutes that writing one may take before the run ends with an error, to be started again from the one before: what a
    # process would otherwise wait for when another, or the store, has lost its part.
    checkpoint.timeout = 10.0
    checkpoint.keep = 3  # newest ones kept, beside the one that validation liked best

    config.eval = evaluation = ml_collections.ConfigDict()
    evaluation.every = 5_000  # steps between evaluations on the validation split; 0: not by steps
    evaluation.minutes = 0.0  # minutes between them, besides; 0: not by time
    evaluation.patience = 0  # evaluations without a better SSIM under colour after which training ends early; 0: never
    evaluation.clips = 64  # clips per evaluation while training; 0: all
    evaluation.batch_size = 8
    evaluation.frames = 16  # frames per evaluated clip
    evaluation.bootstrap = 1_000  # patient resamples for the 95 % intervals
    # Further draws of speckle per simulated clip, right anatomy with other speckle, as a yardstick; 0: none.
    evaluation.speckle_draws = 4
    evaluation.perceptual_frames = 1  # evenly spaced frames per clip that go through VGG, which is dear; 0: none

    config.translate = translate = ml_collections.ConfigDict()
    translate.window = 32  # frames per window, besides the halo that makes windows invisible
    translate.feather = 2  # px over which the synthesised area blends into the untouched one
    # Longest side of the sector, px, at which the network works: larger clips are reduced, the result enlarged and
    # pasted back at native resolution.
    translate.size = 256
    return config
