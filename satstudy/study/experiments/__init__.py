"""The measurements of a study: what the notebooks call, each resumable and each returning frames."""

from satstudy.study.experiments.classifiers import Accuracy, accuracy_predictions, classifier_config
from satstudy.study.experiments.crops import detailed_crop, example_codings, rate_crops
from satstudy.study.experiments.rates import of_tiling, rate_distortion_frame, scenes_comparison, scenes_frame
from satstudy.study.experiments.seams import Blended, blend_image, seam_crops, seam_frame, seam_images, seam_profiles
from satstudy.study.experiments.weights import checkpoints, training_metrics

__all__ = [
    "Accuracy",
    "Blended",
    "accuracy_predictions",
    "blend_image",
    "checkpoints",
    "classifier_config",
    "detailed_crop",
    "example_codings",
    "of_tiling",
    "rate_crops",
    "rate_distortion_frame",
    "scenes_comparison",
    "scenes_frame",
    "seam_crops",
    "seam_frame",
    "seam_images",
    "seam_profiles",
    "training_metrics",
]
