"""The vocabulary and the numbers that Keras' TextVectorization makes of the texts in vocabulary.json.

It needs TensorFlow, which the other vectors do not.
"""

import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

from keras.layers import TextVectorization

with open("vocabulary.json") as file:
    texts = json.load(file)["texts"]
made = {}
for name, options in {
    "all": {},
    "ten": {"max_tokens": 10},
    "characters": {"split": "character", "standardize": None},
    "cut": {"output_sequence_length": 4},
}.items():
    layer = TextVectorization(**options)
    layer.adapt(texts)
    made[name] = {
        "vocabulary": layer.get_vocabulary(),
        "numbers": [layer([text])[0].numpy().tolist() for text in texts],
    }
with open("vocabulary_keras.json", "w") as file:
    json.dump(made, file, ensure_ascii=False, indent=1)
