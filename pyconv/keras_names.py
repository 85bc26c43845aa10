"""Keras 3's public names, and what stands in pyconv for those that it has under another name or none.

Read by `names.py` alone, when a name was not found.
"""

# Of Keras 3.15; "" is `keras` itself.
KERAS = {
    "": """
        DTypePolicy FloatDTypePolicy Function Initializer Input InputSpec KerasTensor Layer Loss Metric
        Model Operation Optimizer Quantizer Regularizer RematScope Sequential StatelessScope SymbolicScope
        Variable activations applications backend callbacks config constraints datasets device
        distillation distribution dtype_policies export initializers layers legacy losses metrics
        mixed_precision models name_scope ops optimizers preprocessing quantizers random regularizers
        remat saving tree utils version visualization wrappers
    """,
    "layers": """
        Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
        AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
        AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
        AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization Bidirectional
        CategoryEncoding CenterCrop Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D
        Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
        Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D
        Convolution3DTranspose Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D
        DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten
        FlaxLayer GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
        GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D
        GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
        GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity Input InputLayer InputSpec
        IntegerLookup JaxLayer LSTM LSTMCell Lambda Layer LayerNormalization LeakyReLU Masking
        MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum
        MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
        RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter
        RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
        RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
        RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector
        Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D
        SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax Solarization
        SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells
        StringLookup Subtract TFSMLayer TextVectorization TimeDistributed TorchModuleWrapper
        UnitNormalization UpSampling1D UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D
        ZeroPadding3D add average concatenate deserialize dot maximum minimum multiply serialize subtract
    """,
    "models": """
        Model Sequential clone_model load_model model_from_json save_model
    """,
    "optimizers": """
        Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer MultiOptimizer Muon
        Nadam Optimizer OptimizerMap RMSprop SGD ScheduleFreeAdamW deserialize get legacy schedules
        serialize
    """,
    "schedules": """
        CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule
        PiecewiseConstantDecay PolynomialDecay deserialize serialize
    """,
    "losses": """
        BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy
        CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle
        CosineSimilarity Dice Hinge Huber KLDivergence LogCosh Loss MeanAbsoluteError
        MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
        SparseCategoricalCrossentropy SquaredHinge Tversky binary_crossentropy binary_focal_crossentropy
        categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy
        categorical_hinge circle cosine_similarity ctc deserialize dice get hinge huber kl_divergence
        log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error
        mean_squared_logarithmic_error poisson serialize sparse_categorical_crossentropy squared_hinge
        tversky
    """,
    "metrics": """
        AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy
        CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score
        FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError Mean
        MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError
        MeanSquaredLogarithmicError Metric OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision
        PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
        SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy
        SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives
        binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy
        categorical_crossentropy categorical_focal_crossentropy categorical_hinge concordance_correlation
        deserialize get hinge huber kl_divergence log_cosh mean_absolute_error
        mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error
        pearson_correlation poisson serialize sparse_categorical_accuracy sparse_categorical_crossentropy
        sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy
    """,
    "callbacks": """
        BackupAndRestore CSVLogger Callback CallbackList EarlyStopping History LambdaCallback
        LearningRateScheduler ModelCheckpoint OrbaxCheckpoint ProgbarLogger ReduceLROnPlateau
        RemoteMonitor SwapEMAWeights TensorBoard TerminateOnNaN
    """,
    "initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer Initializer
        LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT
        STFTInitializer TruncatedNormal VarianceScaling Zeros constant deserialize get glorot_normal
        glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform ones orthogonal
        random_normal random_uniform serialize stft truncated_normal variance_scaling zeros
    """,
    "regularizers": """
        L1 L1L2 L2 OrthogonalRegularizer Regularizer deserialize get l1 l1_l2 l2 orthogonal_regularizer
        serialize
    """,
    "activations": """
        celu deserialize elu exponential gelu get glu hard_shrink hard_sigmoid hard_silu hard_swish
        hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu serialize sigmoid silu
        soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh
        tanh_shrink threshold
    """,
    "utils": """
        Config CustomObjectScope FeatureSpace Progbar PyDataset Sequence array_to_img
        audio_dataset_from_directory bounding_boxes clear_session custom_object_scope
        deserialize_keras_object disable_interactive_logging enable_interactive_logging get_custom_objects
        get_file get_registered_name get_registered_object get_source_inputs image_dataset_from_directory
        img_to_array is_interactive_logging_enabled is_keras_tensor legacy load_img model_to_dot normalize
        pack_x_y_sample_weight pad_sequences plot_model register_keras_serializable save_img
        serialize_keras_object set_random_seed split_dataset standardize_dtype text_dataset_from_directory
        timeseries_dataset_from_array to_categorical unpack_x_y_sample_weight
    """,
    "datasets": """
        boston_housing california_housing cifar10 cifar100 fashion_mnist imdb mnist reuters
    """,
    "preprocessing": """
        image image_dataset_from_directory sequence text_dataset_from_directory
        timeseries_dataset_from_array
    """,
}

# Keras' short names for strings.
SHORT = {
    "losses": "bce mae mape mse msle kld kullback_leibler_divergence logcosh",
    "optimizers": "adadelta adafactor adagrad adamw adamax ftrl lamb lion muon nadam rmsprop",
    "metrics": "bce mae mape mse msle kld auc logcosh ce crossentropy",
    "initializers": "normal uniform one zero",
}

_AUGMENTATION = "pyconv.Augmentation, the argument augment of fit"

INSTEAD = {
    "": {
        "Input": "pyconv.layers.Input",
        "Layer": "pyconv.layers.Layer",
        "Function": "pyconv.Model",
        "Optimizer": "pyconv.optimizers.Optimizer",
        "Initializer": "pyconv.initializers.Initializer",
        "Regularizer": "pyconv.regularizers.L2",
        "Variable": "pyconv.layers.Parameter",
        "activations": 'names, activation="relu"',
        "applications": "pyconv.recipes",
        "random": "pyconv.set_random_seed",
    },
    "layers": {
        "MaxPool2D": "MaxPooling2D",
        "AvgPool2D": "AveragePooling2D",
        "GlobalAvgPool2D": "GlobalAveragePooling2D",
        "GlobalMaxPool2D": "MaxPooling2D of the whole map and Flatten",
        "GlobalMaxPooling2D": "MaxPooling2D of the whole map and Flatten",
        "Convolution2D": "Conv2D",
        "DepthwiseConv2D": "Conv2D with groups=channels",
        "SeparableConv2D": "two Conv2D, the first with groups=channels",
        "SeparableConvolution2D": "two Conv2D, the first with groups=channels",
        "ZeroPadding2D": "Conv2D with padding=((top, bottom), (left, right))",
        "InputLayer": "Input",
        "Identity": "Linear",
        "add": "Add()([a, b])",
        "concatenate": "Concatenate()([a, b])",
        "multiply": "Multiply()([a, b])",
        "Rescaling": "Normalization(mean=-offset / scale, variance=1 / scale**2)",
        "RandomFlip": _AUGMENTATION,
        "RandomRotation": _AUGMENTATION,
        "RandomTranslation": _AUGMENTATION,
        "Sequential": "pyconv.Sequential",
        "Model": "pyconv.Model",
    },
    "models": {
        "save_model": "Model.save",
        "clone_model": "model_from_json(model.to_json())",
    },
    "optimizers": {"schedules": "pyconv.schedules"},
    "metrics": {
        "CategoricalAccuracy": 'its name, metrics=["categorical_accuracy"]',
        "categorical_accuracy": 'its name, metrics=["categorical_accuracy"]',
        "SparseCategoricalAccuracy": 'its name, metrics=["sparse_categorical_accuracy"]',
        "sparse_categorical_accuracy": 'its name, metrics=["sparse_categorical_accuracy"]',
    },
    "callbacks": {
        "ProgbarLogger": "the argument verbose of fit",
        "TerminateOnNaN": "fit alone, which stops at the first NaN and names its layer",
        "BackupAndRestore": "ModelCheckpoint and pyconv.load_model, which continues bit for bit",
        "RemoteMonitor": "LambdaCallback",
    },
    "utils": {
        "Sequence": "any class with __len__ and __getitem__",
        "PyDataset": "any class with __len__ and __getitem__",
        "clear_session": "nothing: a model goes when nobody holds it",
        "plot_model": "Model.summary",
        "model_to_dot": "Model.summary",
        "load_img": "pyconv.predict.read_image",
    },
}

# What an argument of Keras' methods is answered with.
_NO_WEIGHTS = "pyconv weighs neither classes nor samples"
_NO_WORKERS = "pyconv makes batches in its own threads"
_ALWAYS_PLANNED = "pyconv compiles every step into a plan"
_BY_NAME = "weights are read by name, all or none"
ARGUMENTS = {
    **dict.fromkeys(("class_weight", "sample_weight", "sample_weight_mode", "weighted_metrics"), _NO_WEIGHTS),
    **dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size"), _NO_WORKERS),
    **dict.fromkeys(
        ("run_eagerly", "jit_compile", "steps_per_execution", "auto_scale_loss"), _ALWAYS_PLANNED
    ),
    **dict.fromkeys(("by_name", "skip_mismatch"), _BY_NAME),
    "loss_weights": "there is one loss",
    "reset_metrics": "each call starts anew",
    "custom_objects": "a class of your own is known once it is defined",
    "compile": "a model comes back as it was saved; compile it again at will",
    "safe_mode": "no file runs code",
    "overwrite": "a file is replaced in one step, and the one before kept as .previous",
    "save_format": "the format is safetensors",
    "include_optimizer": "the optimizer's state goes along; save_weights leaves it out",
    "line_length": "a summary fits 80 columns",
    "positions": "a summary fits 80 columns",
    "expand_nested": "a Residual is one row",
    "show_trainable": "the last lines count what trains",
    "subset": "split the arrays, or give fit a validation_split",
    **dict.fromkeys(
        ("save_to_dir", "save_prefix"), "batches are arrays: save them from a loop over the flow"
    ),
    "augment": "fit takes the statistics of the images as they are",
    "rounds": "fit takes the statistics of the images as they are",
}

# What an attribute or method that an object of a class has in Keras is answered with.
MEMBERS = {
    "Model": {
        "fit_generator": "fit, which takes generators",
        "evaluate_generator": "evaluate, which takes generators",
        "predict_generator": "predict, which takes generators",
        "predict_classes": "predict(x).argmax(axis=1)",
        "predict_proba": "predict",
        "metrics_names": "evaluate(return_dict=True)",
        "metrics": "metric_names",
        "trainable_weights": "trainable_parameters",
        "trainable_variables": "trainable_parameters",
        "non_trainable_weights": "parameters, of which trainable_parameters train",
        "variables": "parameters",
        "test_on_batch": "evaluate",
        "inputs": "input_shape",
        "outputs": "output_shape",
        "input": "input_shape",
        "output": "output_shape",
        "reset_metrics": "nothing to reset: each call starts anew",
        "reset_states": "nothing to reset: no layer keeps a state",
        "lr": "optimizer.learning_rate",
    },
    "Layer": {
        "output": "output_shape(input_shape)",
        "input": "input_shape",
        "trainable_weights": "trainable_parameters",
        "trainable_variables": "trainable_parameters",
        "non_trainable_weights": "parameters",
        "variables": "parameters",
        "call": "trace, which adds the layer's calls to a plan",
        "compute_output_shape": "output_shape",
        "count_params": "sum(p.size for p in layer.all_parameters)",
    },
    "Optimizer": {
        "lr": "learning_rate",
        "weights": "Model.slot_arrays",
        "variables": "Model.slot_arrays",
        "apply_gradients": "Model.train_on_batch",
        "minimize": "Model.fit",
    },
    "ImageDataGenerator": {
        "flow_from_directory": "flow, of arrays; pyconv.predict.read_image reads a file",
        "flow_from_dataframe": "flow, of arrays; pyconv.predict.read_image reads a file",
        "standardize": "next(flow(x, shuffle=False)) of a generator that warps nothing",
        "random_transform": "Augmentation, called on images",
        "apply_transform": "Augmentation, called on images",
    },
    "ArrayIterator": {
        "reset": "epoch and batch, to be set to 0",
        "n": "len(flow.x)",
        "samples": "len(flow.x)",
        "on_epoch_end": "nothing to call: each pass has a new order",
        "next": "next(flow)",
    },
}
