"""What both storages share: their options, and where they are, the real target or the local server."""

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

# Where nothing else is configured; the local server has no other customers who could have taken the names.
LOCAL_REGION = "us-east-1"

_YES_OR_NO = ("file_overwrite", "conditional_writes", "versioning", "direct_uploads", "strict_references")


class OnS3:
    """A storage whose options are those of `s3kit.options`.

    With USE_S3="local" it uses the local S3 server, whatever its endpoint, key, owner and domain are.
    """

    kind: Kind

    # None: as USE_S3 says.
    _local: bool | None = None
    _given: dict[str, Any]
    _location: Location

    location: str
    custom_domain: str

    def _begin(self, given: dict[str, Any]) -> None:
        """Read the options, now and whenever a test overrides a setting."""
        self._given = given
        self._configure()
        setting_changed.connect(self._read_settings_again)

    def _configure(self) -> None:
        """Set what follows from the options; raise ImproperlyConfigured for what is wrong with them."""
        values = options.resolved(self.kind, type(self), self._given)
        if problems := list(options.rejected(self.kind, type(self), self._given, values)):
            raise ImproperlyConfigured(problems[0])
        if values.get("access", "public-policy") not in options.ACCESS:
            raise ImproperlyConfigured(
                f"The option 'access' is {values['access']!r}: choose one of {', '.join(options.ACCESS)}."
            )
        for name in _YES_OR_NO:
            if not isinstance(values.get(name, False), bool):  # the text "false" would count as true
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
        """Take over the values of the options."""
        raise NotImplementedError

    def address(self) -> str:
        """Return the address of the prefix: on the custom domain if there is one, else in the bucket."""
        if self.custom_domain:
            return f"https://{self.custom_domain}/{quote(self.location, safe='/~')}"
        return clients.object_url(self.target, self.named_bucket, self.location)

    def _read_settings_again(self, *, setting: str, **_kwargs: Any) -> None:
        if setting.startswith("AWS_") or setting in {"USE_S3", "CSRF_TRUSTED_ORIGINS"}:
            # Where a test's settings are gone again and the rest is not enough, the storage stays as it is.
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
            raise ImproperlyConfigured("The options 'access_key' and 'secret_key' need each other: set both.")
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
            # The form of a region is all that matters to the local server; it has no keys of KMS.
            target = Target(
                LOCAL_REGION if regions.problems(region) else region,
                is_local=True,
                encryption="AES256" if encrypted else "",
            )
        else:
            # Two storages of one bucket must not seem to be on two servers.
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
            direct_uploads=bool(values.get("direct_uploads")),
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
        """The S3 that the storage uses."""
        target = self._location.target
        if target.is_local:
            from s3kit.local import here

            endpoint, key = here()
            return replace(target, endpoint=endpoint, key=key)
        if not target.region:
            raise ImproperlyConfigured(
                f"{self._called} has no region: set AWS_S3_REGION_NAME, or its option 'region_name', to the"
                " bucket's, as in eu-central-1."
            )
        return target

    @property
    def named_bucket(self) -> str:
        """The bucket's name; raises ImproperlyConfigured where none is set."""
        if not self._location.bucket:
            raise ImproperlyConfigured(
                f"{self._called} has no bucket: set its option 'bucket_name' in STORAGES."
            )
        return self._location.bucket

    @property
    def _called(self) -> str:
        return f"The storage {type(self).__module__}.{type(self).__qualname__}"

    def location_as(self, alias: str) -> Location:
        """Return where the files are, as far as the options say; looks at no server's state."""
        return replace(self._location, alias=alias)

    def described(self, alias: str) -> Location:
        """Return where the files are, for commands; raise ImproperlyConfigured without a region or a right bucket.

        S3 would reject a name that its rules forbid in other words, such as "Access Denied".
        """
        _ = self.named_bucket
        location = replace(self._location, alias=alias, target=self.target)
        silenced = "s3kit.E001" in settings.SILENCED_SYSTEM_CHECKS
        if not silenced and not location.target.is_local and (wrong := name_problems(location)):
            raise ImproperlyConfigured(" ".join(wrong[0]))
        return location

    def bound(self, *, local: bool | None) -> Self:
        """Return the storage with the local server (True), the real target (False), or by USE_S3 (None)."""
        if local is None or local == self.is_local:
            return self
        other = copy.copy(self)
        other._local = local
        other._configure()
        return other
