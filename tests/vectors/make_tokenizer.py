"""Byte pairs trained on a few sentences by Hugging Face's tokenizers, and what it makes of texts."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

sentences = ["the cat saw the dog and the dog ran", "a cat and a dog saw the sea", "Straße, Käse, Größe"]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=300,
    special_tokens=["[PAD]", "[CLS]"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
tokenizer.train_from_iterator(sentences, trainer)
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A", special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]"))]
)
tokenizer.save("tokenizer.json", pretty=False)
texts = ["the cat ran", "Straßenbahn 🐈!", "", "the  dog\nsaw"]
made = []
for text in texts:
    encoded = tokenizer.encode(text)
    decoded = tokenizer.decode(encoded.ids)
    made.append({"text": text, "numbers": encoded.ids, "tokens": encoded.tokens, "decoded": decoded})
with open("tokenizer_numbers.json", "w") as file:
    json.dump({"len": tokenizer.get_vocab_size(), "texts": made}, file, ensure_ascii=False, indent=1)
