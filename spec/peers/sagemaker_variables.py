# The variables that SageMaker's training toolkit sets for the tree below SAGEMAKER_BASE_DIR, as JSON.
import json
import logging

logging.disable(logging.CRITICAL)

from sagemaker_training import environment  # noqa: E402  (it logs while it is loaded)

print(json.dumps(environment.Environment().to_env_vars()))
