"""Component YAML of KFP v1, as its users have written it."""

FIT = """
name: Fit a model
description: Fits.
metadata: {annotations: {author: A. Nother}}
inputs:
- {name: Training data, type: Dataset, description: The table.}
- {name: Epochs, type: Integer, default: '3'}
- {name: rate, type: Float, default: '0.5'}
- {name: Verbose, type: Bool, default: 'False'}
- {name: layers, type: JsonArray, default: '[1, 2]'}
- {name: options, type: JsonObject, default: '{"a": 1}'}
- {name: note, type: String, optional: true}
- {name: anything}
- {name: typed, type: {GCSPath: {data_type: CSV}}, optional: true}
- {name: names, type: "typing.List[str]", optional: true}
outputs:
- {name: Model, type: Model}
- {name: score, type: Float}
- {name: Raw}
implementation:
  container:
    image: registry.example.org/fit:1
    command: [python3, -u, /fit.py, {executorInput: null}]
    args:
    - --table
    - {inputPath: Training data}
    - {inputUri: Training data}
    - {inputPath: anything}
    - --epochs
    - {inputValue: Epochs}
    - {inputValue: rate}
    - {inputValue: Verbose}
    - {inputValue: layers}
    - {inputValue: options}
    - {inputValue: names}
    - if:
        cond: {isPresent: note}
        then: [--note, {inputValue: note}]
        else: [--no-note]
    - if:
        cond: {isPresent: note}
        then: --with-note
    - {outputPath: Model}
    - {outputUri: Raw}
    - {outputPath: Raw}
    - {outputPath: score}
    env: {LEVEL: debug}
"""

MINIMAL = """
implementation:
  container:
    image: alpine:3
    command: [echo, hello]
"""

GOOGLE = """
name: deploy
inputs:
- {name: model, type: google.VertexModel}
outputs:
- {name: endpoint, type: google.VertexEndpoint}
implementation:
  container:
    image: registry.example.org/deploy:1
    command: [deploy, {inputUri: model}, {outputUri: endpoint}]
"""

#: With a text put together, which the SDK leaves to the server and the server does not do (KFP 2.17).
CONCAT = """
name: Greet
inputs:
- {name: who, type: String}
- {name: title, type: String, optional: true}
outputs:
- {name: text, type: String}
implementation:
  container:
    image: alpine:3
    command: [sh, -c, 'printf "%s|" "$@" > "$0"']
    args:
    - {outputPath: text}
    - {concat: ["hello ", {inputValue: who}, "!"]}
    - {concat: ["<", {if: {cond: {isPresent: title}, then: {inputValue: title}, else: none}}, ">"]}
"""

ALIKE = {"fit": FIT, "minimal": MINIMAL, "google": GOOGLE}
