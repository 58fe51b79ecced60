"""What clients send to and get from the user center. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _not_blank(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise ValueError("must not be blank")
    return stripped


PersonName = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_not_blank)]
Phone = Annotated[str, Field(pattern=r"^\+?[0-9]{5,19}$")]
Email = Annotated[
    str,
    Field(max_length=254, pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"),
    AfterValidator(str.lower),
]
# Without an upper bound a password of megabytes would be hashed.
Password = Annotated[str, Field(min_length=8, max_length=128)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class UserIn(_Strict):
    """A registration, with the answer to a captcha."""

    name: PersonName
    phone: Phone
    email: Email
    password: Password
    captcha_id: Annotated[str, Field(min_length=1, max_length=32)]
    captcha_answer: Annotated[int, Field(ge=-1_000, le=1_000)]


class SessionIn(_Strict):
    """A login: phone or email, and the password."""

    login: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=128)]


class ProfileChange(_Strict):
    """What a user changes about themselves; a new password needs the current one."""

    name: PersonName | None = None
    phone: Phone | None = None
    email: Email | None = None
    password: Password | None = None
    current_password: Annotated[str, Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> ProfileChange:
        if not (self.name or self.phone or self.email or self.password):
            raise ValueError("nothing to change")
        if self.password is not None and self.current_password is None:
            raise ValueError("a new password needs current_password")
        return self


class CaptchaView(BaseModel):
    """A sum to solve: `question` is like `3 + 4`."""

    captcha_id: str
    question: str


class Registered(BaseModel):
    """The account that was opened."""

    user_id: int


class SessionView(BaseModel):
    """A session; `token` goes into the header Authorization, after `Bearer`."""

    token: str
    user_id: int
    expires_at_ms: int


class ProfileView(BaseModel):
    """What users see of themselves."""

    user_id: int
    name: str
    phone: str
    email: str
