"""What scikit-learn makes of texts and of sparse matrices, for specs to compare with.

text_reference.py tfidf IN OUT       IN: JSON {documents, options}; OUT: JSON {words, idf, weights: [{word: weight}]}
text_reference.py characters IN OUT STEP
                                     IN: to be written, texts around every STEPth character, one a line; OUT: their words
text_reference.py svd IN OUT         IN: safetensors starts, columns, values; OUT: JSON {arpack, variances}
"""
import json
import sys
import unicodedata

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


def tfidf(source, target):
    with open(source, encoding="utf-8") as file:
        job = json.load(file)
    options = job["options"]
    if "ngram_range" in options:
        options["ngram_range"] = tuple(options["ngram_range"])
    vectorizer = TfidfVectorizer(**options)
    matrix = vectorizer.fit_transform(job["documents"])
    words = [str(word) for word in vectorizer.get_feature_names_out()]
    weights = []
    for row in matrix:
        row = row.tocoo()
        weights.append({words[c]: float(v) for c, v in zip(row.col, row.data)})
    with open(target, "w", encoding="utf-8") as file:
        json.dump({"words": words, "idf": vectorizer.idf_.tolist(), "weights": weights}, file, ensure_ascii=False)


def characters(source, target, step):
    texts = []
    for point in range(0, 0x110000, int(step)):
        c = chr(point)
        if unicodedata.category(c) in ("Cs", "Cn", "Co") or c == "\n":
            continue
        texts += ["ab" + c + "cd", "A" + c + "\u03a3", "A\u03a3" + c + "B"]
    analyse = TfidfVectorizer().build_analyzer()
    words = sorted({word for text in texts for word in analyse(text)})
    for path, lines in (source, texts), (target, words):
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write("\n".join(lines) + "\n")


def svd(source, target):
    from safetensors.numpy import load_file
    parts = load_file(source)
    width = int(parts["columns"].max()) + 1
    matrix = csr_matrix((parts["values"], parts["columns"], parts["starts"]), (len(parts["starts"]) - 1, width))
    d = int(parts["d"][0])
    arpack = np.sort(svds(matrix, d, return_singular_vectors=False))[::-1]
    variances = [float((TruncatedSVD(d, random_state=seed).fit(matrix).singular_values_ ** 2).sum()) for seed in (0, 1)]
    with open(target, "w", encoding="utf-8") as file:
        json.dump({"arpack": arpack.tolist(), "variances": variances}, file)


if __name__ == "__main__":
    {"tfidf": tfidf, "characters": characters, "svd": svd}[sys.argv[1]](*sys.argv[2:])
