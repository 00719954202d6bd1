"""What the refusals of an object store mean, and what to do about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_kfp_runtime.sources.http_errors import LATER

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources.http_errors import Refusal

# Amazon S3 API reference, "Error responses"; Minio, Ceph and others use the same codes.
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")
_EXPECTED_REGION = re.compile(rb"<Region>([a-z0-9-]{1,40})</Region>")

_KEYS = "the store does not accept the keys; check login, password and endpoint_url of aws_conn_id"
_EXPIRED = "the session token has expired or belongs to other keys; get new ones"
_DENIED = (
    "the credentials may not read it; they need s3:GetObject, and s3:ListBucket to be told when there is no "
    "such key"
)
_CLOCK = "the clock of this machine is wrong, or the store's"
_ADVICE = {
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidAccessKeyId": _KEYS,
    "InvalidObjectState": "it is in an archive such as Glacier; restore it first",
    "InvalidToken": _EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": _KEYS,
    "TokenRefreshRequired": _EXPIRED,
}
_OTHER_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "PermanentRedirect"}
)
_OF_STATUS = {
    301: "PermanentRedirect",
    401: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
}


def explained(refusal: Refusal, bucket: str, key: str) -> str:
    """Return what to do about a refusal.

    :param bucket: that was asked for.
    :param key: that was asked for.
    """
    said = _CODE.search(refusal.beginning)
    code = said[1].decode() if said else _OF_STATUS.get(refusal.status, "")
    place = f"{refusal.shown} answers {refusal.status}{f' ({code})' if said else ''}"
    match code:
        case "NoSuchBucket":
            return f"{place}: there is no bucket {bucket!r}; check its name, and endpoint_url for the store"
        case "NoSuchKey":
            return f"{place}: the bucket {bucket!r} has no key {key!r}; keys are case-sensitive"
        case _ if code in _OTHER_REGION:
            return (
                f"{place}: the bucket is in {_region(refusal)}; set region_name of aws_conn_id, or AWS_REGION"
            )
        case _ if code in _ADVICE:
            return f"{place}: {_ADVICE[code]}"
    return f"{place}: {LATER if refusal.status >= 500 else 'expected is 200 with the object'}"


def _region(refusal: Refusal) -> str:
    region = refusal.headers.get("x-amz-bucket-region")
    if region is None and (expected := _EXPECTED_REGION.search(refusal.beginning)):
        region = expected[1].decode()
    return f"the region {region!r}" if region else "another region"
