"""openapi_check.py FILE - is the document FILE valid OpenAPI 3.1, and is each line of stdin, {"schema": reference into the
document, "value": JSON text, "fits": whether the project's own validator took it}, judged the same by jsonschema?"""
import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

with open(sys.argv[1]) as file:
    document = json.load(file)
validate(document)
checked = {True: 0, False: 0}
validators = {}
for number, line in enumerate(sys.stdin, 1):
    case = json.loads(line)
    reference = case["schema"]
    if reference not in validators:
        parts = {"components": document["components"], "paths": document["paths"]}
        validators[reference] = Draft202012Validator({"$ref": reference, **parts})
    errors = sorted(validators[reference].iter_errors(json.loads(case["value"])), key=str)
    if (not errors) != case["fits"]:
        told = [e.message for e in errors]
        sys.exit("line %d: jsonschema says %s of %s by %s" % (number, told, case["value"], reference))
    checked[case["fits"]] += 1
print("%d fit, %d do not" % (checked[True], checked[False]))
