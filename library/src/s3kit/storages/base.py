"""The base class of both storages: it reads their options and chooses between the real target and the local server."""

import copy
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from s3kit import clients, encryption, options, providers
from s3kit.deployment import Key, Location, Target, location_prefix, name_problems
from s3kit.naming import regions
from s3kit.options import Kind, conf

# The local server's region where none is configured.
LOCAL_REGION = "us-east-1"

_BOOLEANS = ("file_overwrite", "conditional_writes", "versioning", "direct_uploads", "strict_references")


class OnS3:
    """A storage that takes the options in `s3kit.options`.

    With USE_S3="local" it uses the local S3 server and ignores its endpoint, key, owner, and domain.
    """

    kind: Kind

    # None: follow USE_S3.
    _local: bool | None = None
    _given: dict[str, Any]
    _location: Location

    location: str
    custom_domain: str

    def _begin(self, given: dict[str, Any]) -> None:
        """Read the options now, and again whenever a test overrides a setting."""
        self._given = given
        self._configure()
        setting_changed.connect(self._read_settings_again)

    def _configure(self) -> None:
        """Set the attributes from the options; raise ImproperlyConfigured if the options are invalid."""
        values = options.resolved(self.kind, type(self), self._given)
        if problems := list(options.rejected(self.kind, type(self), self._given, values)):
            raise ImproperlyConfigured(problems[0])
        if values.get("access", "public-policy") not in options.ACCESS:
            raise ImproperlyConfigured(
                f"The option 'access' is {values['access']!r}: choose one of {', '.join(options.ACCESS)}."
            )
        for name in _BOOLEANS:
            if not isinstance(values.get(name, False), bool):  # the string "false" is true
                raise ImproperlyConfigured(
                    f"The option {name!r} is {values[name]!r}: set it to True or False."
                )
        if isinstance(values.get("prehashed"), str):
            raise ImproperlyConfigured(
                f"The option 'prehashed' is {values['prehashed']!r}: set it to a list of patterns."
            )
        self._location = self._described(values)
        self._apply(values)

    def _apply(self, values: dict[str, Any]) -> None:
        """Set the attributes of the subclass from the options."""
        raise NotImplementedError

    def address(self) -> str:
        """Return the URL of the prefix: on the custom domain if there is one, else in the bucket."""
        if self.custom_domain:
            return f"https://{self.custom_domain}/{quote(self.location, safe='/~')}"
        return clients.object_url(self.target, self.named_bucket, self.location)

    def _read_settings_again(self, *, setting: str, **_kwargs: Any) -> None:
        if setting.startswith("AWS_") or setting in {"USE_S3", "CSRF_TRUSTED_ORIGINS"}:
            # When a test's settings end and the remaining ones aren't enough, the storage keeps its old values.
            before = self.__dict__.copy()
            try:
                self._configure()
            except ImproperlyConfigured:
                self.__dict__.clear()
                self.__dict__.update(before)

    def _described(self, values: dict[str, Any]) -> Location:
        def text(name: str) -> str:
            return str(values.get(name) or "")

        local, bucket = self.is_local, text("bucket_name")
        key = None
        if values["access_key"] and values["secret_key"]:
            key = Key(text("access_key"), text("secret_key"), values["security_token"])
        elif values["access_key"] or values["secret_key"]:
            raise ImproperlyConfigured(
                "Only one of the options 'access_key' and 'secret_key' is set: set both."
            )
        if key and values["session_profile"]:
            raise ImproperlyConfigured(
                "Set either 'session_profile' or 'access_key' and 'secret_key', not both."
            )
        region = text("region_name")
        encrypted = text("encryption")
        on_aws = not local and not values["endpoint_url"]
        if problem := encryption.problem(encrypted, region if on_aws else ""):
            raise ImproperlyConfigured(problem)
        if local:
            # The local server only checks that a region is well-formed, and it has no KMS keys.
            target = Target(
                LOCAL_REGION if regions.problems(region) else region,
                is_local=True,
                encryption="AES256" if encrypted else "",
            )
        else:
            # Without the trailing slash, so that two storages of one bucket compare as equal.
            endpoint, provider = text("endpoint_url").rstrip("/") or None, text("provider")
            target = Target(
                region or providers.region(endpoint, provider),
                endpoint=endpoint,
                provider_name=provider,
                owner=text("expected_bucket_owner") or None,
                profile=text("session_profile") or None,
                key=key,
                encryption=encrypted,
            )
        return Location(
            alias="",
            kind=self.kind,
            bucket=(bucket or f"local-{self.kind}") if local else bucket,
            prefix=location_prefix(values["location"]),
            target=target,
            access=values.get("access", "public-policy"),
            custom_domain="" if local else text("custom_domain"),
            distribution="" if local else text("cloudfront_distribution"),
            versioning=bool(values.get("versioning")),
            # With file_overwrite, a direct upload would replace or delete another file before its form is valid.
            direct_uploads=bool(values.get("direct_uploads") and not values.get("file_overwrite")),
            expire=values.get("querystring_expire", 3600),
            cloudfront_key_id="" if local else text("cloudfront_key_id"),
            cookie_domain="" if local else text("cloudfront_cookie_domain"),
            links=text("links"),
            tags=options.tags(values["bucket_tags"]),
        )

    @property
    def is_local(self) -> bool:
        """Whether the storage uses the local S3 server."""
        return conf.is_local if self._local is None else self._local

    @property
    def target(self) -> Target:
        """The S3 endpoint, region, and credentials that the storage uses."""
        target = self._location.target
        if target.is_local:
            from s3kit.local import here

            endpoint, key = here()
            return replace(target, endpoint=endpoint, key=key)
        if not target.region:
            raise ImproperlyConfigured(
                f"{self._called} has no region: set AWS_S3_REGION_NAME, or its option 'region_name', to the"
                " bucket's region, such as eu-central-1."
            )
        return target

    @property
    def named_bucket(self) -> str:
        """The bucket's name; raises ImproperlyConfigured if none is set."""
        if not self._location.bucket:
            raise ImproperlyConfigured(
                f"{self._called} has no bucket: set its option 'bucket_name' in STORAGES."
            )
        return self._location.bucket

    @property
    def _called(self) -> str:
        return f"The storage {type(self).__module__}.{type(self).__qualname__}"

    def location_as(self, alias: str) -> Location:
        """Return where the files are, according to the options; makes no request."""
        return replace(self._location, alias=alias)

    def described(self, alias: str) -> Location:
        """Return where the files are, for commands; raise ImproperlyConfigured without a region or a valid bucket.

        For an invalid bucket name S3 returns a misleading error, such as "Access Denied".
        """
        _ = self.named_bucket
        location = replace(self._location, alias=alias, target=self.target)
        silenced = "s3kit.E001" in settings.SILENCED_SYSTEM_CHECKS
        if not silenced and not location.target.is_local and (wrong := name_problems(location)):
            raise ImproperlyConfigured(" ".join(wrong[0]))
        return location

    def bound(self, *, local: bool | None) -> Self:
        """Return the storage on the local server (True), on the real target (False), or where USE_S3 says (None)."""
        if local is None or local == self.is_local:
            return self
        other = copy.copy(self)
        other._local = local
        other._configure()
        return other
