"""The measurements of a study: what the notebooks call, each resumable and each returning frames."""

from satstudy.experiments.classifiers import Accuracy, accuracy_predictions, classifier_config
from satstudy.experiments.crops import detailed_crop, example_codings, rate_crops
from satstudy.experiments.rates import of_tiling, rate_distortion_frame, scenes_comparison, scenes_frame
from satstudy.experiments.seams import Blended, blend_image, seam_crops, seam_frame, seam_images, seam_profiles
from satstudy.experiments.weights import checkpoints, training_metrics

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
