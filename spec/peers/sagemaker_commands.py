# Commands of AWS's command line, a list of words each, held against the services' own descriptions in botocore: an
# operation that there is, options that it has, none missing, values of the right form. Prints what is wrong.
import json
import sys

import botocore.session
from botocore.validate import ParamValidator

session = botocore.session.get_session()
GLOBAL = {"region", "cli-binary-format"}


def options_of(words):
    options, at = {}, 0
    while at < len(words):
        word = words[at]
        if not word.startswith("--"):
            at += 1
        elif at + 1 < len(words) and not words[at + 1].startswith("--"):
            options[word[2:]] = words[at + 1]
            at += 2
        else:
            options[word[2:]] = True
            at += 1
    return options


def value_of(shape, value):
    if shape.type_name in ("structure", "list", "map"):
        return json.loads(value)
    return int(value) if shape.type_name in ("integer", "long") else value


def wrong(words):
    service, operation = words[1], words[2]
    model = session.get_service_model(service)
    dashed = {name: botocore.xform_name(name, "-") for name in model.operation_names}
    names = [name for name, dash in dashed.items() if dash == operation]
    if not names:
        return "there is no operation " + operation
    shape = model.operation_model(names[0]).input_shape
    members = {botocore.xform_name(name, "-"): name for name in shape.members}
    params = {}
    for option, value in options_of(words[3:]).items():
        if option in GLOBAL:
            continue
        if option not in members:
            return f"{operation} has no option --{option}"
        name = members[option]
        params[name] = value_of(shape.members[name], value)
    report = ParamValidator().validate(params, shape)
    return report.generate_report() if report.has_errors() else None


for line in sys.stdin:
    words = json.loads(line)
    told = wrong(words)
    if told:
        print(" ".join(words[:3]) + ": " + told)
