"""Artifact files in an S3 bucket, or in anything that speaks its protocol."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from model_envelope import config, names
from model_envelope.artifacts import copying, keys
from model_envelope.artifacts.protocol import ArtifactStore, Progress
from model_envelope.errors import (
    ArtifactCorrupted,
    ArtifactError,
    ArtifactExists,
    ArtifactMissing,
)
from model_envelope.optional import require

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART = 16 << 20
"""Bytes of a part: larger files are sent and fetched in several at once."""
MAX_PARTS = 10_000
AT_ONCE = 4

THERE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
"""Answers to a conditional put when something is stored already: it may be ours, when the
answer to a first try was lost."""
GONE = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Artifacts:
    """Objects under `s3://bucket/prefix/<envelope id>/`.

    Endpoint, region and credentials are those of the AWS environment and configuration
    files, e.g. `AWS_ENDPOINT_URL_S3`, unless `access` has them, by the names that
    `boto3.client` has for them. What is fetched is kept in the cache folder, and
    verified again each time it is handed out.
    """

    def __init__(
        self, bucket: str, prefix: str = "", *, access: Mapping[str, str] | None = None
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._access: dict[str, Any] = dict(access or {})

    @property
    def address(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @cached_property
    def _client(self) -> S3Client:
        boto3 = require("boto3", "s3")
        from botocore.config import Config

        settings = Config(
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=10,
            read_timeout=60,
            # We check SHA-256 ourselves, and other servers than Amazon's know no others.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client: S3Client = boto3.session.Session().client("s3", config=settings, **self._access)
        return client

    def put(
        self, key: str, source: Path | bytes, *, sha256: str, progress: Progress | None = None
    ) -> None:
        """See `ArtifactStore.put`."""
        name = self._name(key)
        size = copying.size(source)
        copying.check(copying.digest(source), sha256, f"What was to be stored as {key}")
        with self._named(key):
            if size <= PART:
                self._put_whole(name, source, sha256)
            elif not self._is_there(name, size, sha256):
                self._put_parts(name, source, size, sha256, progress)
        if progress:
            progress(size, size)

    def _put_whole(self, name: str, source: Path | bytes, sha256: str) -> None:
        with self._unless_there(name, copying.size(source), sha256), copying.opened(source) as body:
            self._client.put_object(
                Bucket=self.bucket,
                Key=name,
                Body=body,
                IfNoneMatch="*",
                Metadata={"sha256": sha256},
                ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            )

    def _put_parts(
        self, name: str, source: Path | bytes, size: int, sha256: str, progress: Progress | None
    ) -> None:
        where: dict[str, Any] = {"Bucket": self.bucket, "Key": name}
        started = self._client.create_multipart_upload(**where, Metadata={"sha256": sha256})
        where["UploadId"] = started["UploadId"]
        step = max(PART, -(-size // MAX_PARTS))

        def send(offset: int) -> str:
            with copying.opened(source) as stream:
                stream.seek(offset)
                body = stream.read(step)
            part = self._client.upload_part(**where, PartNumber=offset // step + 1, Body=body)
            return part["ETag"]

        try:
            parts: list[Any] = []
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3-put") as pool:
                for number, etag in enumerate(pool.map(send, range(0, size, step)), start=1):
                    parts.append({"PartNumber": number, "ETag": etag})
                    if progress:
                        progress(min(number * step, size), size)
            with self._unless_there(name, size, sha256):
                self._client.complete_multipart_upload(
                    **where, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                )
        except BaseException:
            with suppress(Exception):
                self._client.abort_multipart_upload(**where)
            raise

    @contextmanager
    def _unless_there(self, name: str, size: int, sha256: str) -> Iterator[None]:
        """Take it for done where the content is there in spite of an error."""
        from botocore.exceptions import ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in THERE | {"NoSuchUpload"} or not self._is_there(name, size, sha256):
                raise

    def _is_there(self, name: str, size: int, sha256: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            found = self._client.head_object(Bucket=self.bucket, Key=name)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return False
            raise
        if found["ContentLength"] != size or found["Metadata"].get("sha256") != sha256:
            raise ArtifactExists(
                f"Other content is stored as {name} in {self.bucket}; it was kept."
            )
        return True

    def fetch(self, key: str, *, sha256: str, progress: Progress | None = None) -> Path:
        """See `ArtifactStore.fetch`; the path is in the cache folder."""
        target = config.cache().joinpath("artifacts", *keys.split(key))
        if not target.is_file() or copying.digest(target) != sha256:
            try:
                self._download(key, target, sha256, progress)
            except ArtifactCorrupted:
                # A bit that flipped on the way is right the second time.
                self._download(key, target, sha256, progress)
        return target

    def _download(self, key: str, target: Path, sha256: str, progress: Progress | None) -> None:
        from boto3.s3.transfer import TransferConfig

        where: dict[str, Any] = {"Bucket": self.bucket, "Key": self._name(key)}
        parts = TransferConfig(PART, multipart_chunksize=PART, max_concurrency=AT_ONCE)
        with copying.written(target) as partial, self._named(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            size = self._client.head_object(**where)["ContentLength"]
            report = progress and _Sum(size, progress)
            self._client.download_file(
                **where, Filename=str(partial), Callback=report, Config=parts
            )
            copying.check(copying.digest(partial), sha256, f"{key} in {self.address}")
            partial.chmod(0o444)
            partial.replace(target)

    def list_ids(self) -> Iterator[str]:
        """See `ArtifactStore.list_ids`."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        with self._named("the list of envelopes"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for folder in page.get("CommonPrefixes", []):
                    envelope_id = folder["Prefix"][len(prefix) : -1]
                    if names.ID.fullmatch(envelope_id):
                        yield envelope_id

    def delete(self, envelope_id: str) -> None:
        """See `ArtifactStore.delete`; also ends what was being sent there in parts."""
        where: dict[str, Any] = {
            "Bucket": self.bucket,
            "Prefix": f"{self._folder(names.check_id(envelope_id))}/",
        }
        with self._named(envelope_id):
            for sending in self._client.get_paginator("list_multipart_uploads").paginate(**where):
                for upload in sending.get("Uploads", []):
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
            for page in self._client.get_paginator("list_objects_v2").paginate(**where):
                for found in page.get("Contents", []):
                    self._client.delete_object(Bucket=self.bucket, Key=found["Key"])

    def _folder(self, envelope_id: str) -> str:
        return f"{self.prefix}/{envelope_id}".lstrip("/")

    def _name(self, key: str) -> str:
        envelope_id, name = keys.split(key)
        return f"{self._folder(envelope_id)}/{name}"

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Raise what S3 says as an error of this package."""
        require("boto3", "s3")
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in GONE:
                raise ArtifactMissing(
                    f"{what} is not in {self.address}. If the artifacts were moved, set "
                    f"{config.ARTIFACTS}; if they are lost, restore them or save the model again."
                ) from error
            raise self._failed(
                what, f"{code}: {error.response['Error'].get('Message', '')}"
            ) from error
        except (BotoCoreError, Boto3Error) as error:
            raise self._failed(what, str(error)) from error

    def _failed(self, what: str, reason: str) -> ArtifactError:
        return ArtifactError(
            f"{self.address} failed at {what}: {reason.rstrip('.')}. Check that the bucket exists "
            f"and may be used with the AWS credentials of this environment ({config.ARTIFACTS}, "
            "AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3)."
        )


class _Sum:
    """Turns the transfer's increments, which come from several threads, into a total."""

    def __init__(self, size: int, progress: Progress) -> None:
        self._size, self._progress, self._done = size, progress, 0
        self._lock = Lock()

    def __call__(self, increment: int) -> None:
        with self._lock:
            self._done += increment
            self._progress(self._done, self._size)


if TYPE_CHECKING:
    _: type[ArtifactStore] = S3Artifacts
