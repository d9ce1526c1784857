"""Secrets that say what they are: prefixes and shapes, written from the vendors' descriptions of their formats."""

from __future__ import annotations

from typing import NamedTuple

from sniffer.findings import Severity

_WORD = "A-Za-z0-9_-"
_ALNUM = "A-Za-z0-9"
_HEX = "a-f0-9"
_BASE64 = "A-Za-z0-9+/"


class Prefixed(NamedTuple):
    """``prefix`` then ``least`` to ``most`` characters of class ``body``."""

    subject: str  # the rule is ``token/<subject>``
    title: str
    prefixes: tuple[str, ...]
    body: str
    least: int
    most: int
    severity: Severity = Severity.HIGH


class Shaped(NamedTuple):
    """``anchor`` always matches ``width`` bytes (what the scanner looks for); ``pattern`` confirms from its start.

    The group ``value`` of the pattern is the secret; without one all of the match is. ``guard``: no letter, digit or
    underscore may stand before it.
    """

    subject: str
    title: str
    anchor: str
    width: int
    pattern: str
    severity: Severity = Severity.HIGH
    caseless: bool = False
    guard: bool = True


PREFIXED: tuple[Prefixed, ...] = (
    Prefixed("aws-access-key", "AWS access key ID", ("AKIA", "ASIA", "ABIA", "ACCA"), "A-Z2-7", 16, 16, Severity.MEDIUM),
    Prefixed("aws-session-token", "AWS session token", ("FwoG", "IQoJ"), "A-Za-z0-9/+=", 100, 2000),
    Prefixed("aws-bedrock-key", "AWS Bedrock API key", ("ABSK",), _BASE64, 109, 269),
    Prefixed("aws-appsync-key", "AWS AppSync API key", ("da2-",), "a-z0-9", 26, 26),
    Prefixed("google-api-key", "Google API key", ("AIza",), _WORD, 35, 35),
    Prefixed("google-oauth-secret", "Google OAuth client secret", ("GOCSPX-",), _WORD, 28, 28),
    Prefixed("google-access-token", "Google access token", ("ya29.",), _WORD, 20, 1024, Severity.MEDIUM),
    Prefixed("digitalocean", "DigitalOcean token", ("dop_v1_", "doo_v1_", "dor_v1_"), _HEX, 64, 64),
    Prefixed("alibaba-access-key", "Alibaba Cloud access key ID", ("LTAI",), _ALNUM, 20, 20, Severity.MEDIUM),
    Prefixed("heroku", "Heroku API key", ("HRKU-AA",), _WORD, 58, 58),
    Prefixed("fly", "Fly.io token", ("fo1_", "fm1_", "fm2_"), "A-Za-z0-9_+/=-", 43, 1500),
    Prefixed("vault", "HashiCorp Vault token", ("hvs.", "hvb.", "hvr."), _WORD, 24, 300),
    Prefixed("docker-hub", "Docker Hub token", ("dckr_pat_", "dckr_oat_"), _WORD, 27, 36),
    Prefixed("databricks", "Databricks token", ("dapi",), _HEX, 32, 32),
    Prefixed("grafana", "Grafana token", ("glsa_", "glc_"), "A-Za-z0-9_=+/", 32, 400),
    Prefixed("new-relic", "New Relic key", ("NRAK-",), "A-Z0-9", 27, 27),
    Prefixed("openshift", "OpenShift token", ("sha256~",), _WORD, 43, 43),
    Prefixed("github", "GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _ALNUM, 36, 255),
    Prefixed("github", "GitHub token", ("github_pat_",), "A-Za-z0-9_", 82, 82),
    Prefixed("gitlab", "GitLab token", ("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "glcbt-", "glptt-", "glimt-", "glagent-", "gloas-"),
             "A-Za-z0-9_.-", 20, 300),
    Prefixed("bitbucket", "Bitbucket app password", ("ATBB",), _ALNUM, 32, 32),
    Prefixed("atlassian", "Atlassian API token", ("ATATT3",), "A-Za-z0-9_=-", 40, 250),
    Prefixed("npm", "npm token", ("npm_",), _ALNUM, 36, 36),
    Prefixed("pypi", "PyPI token", ("pypi-AgE",), _WORD, 50, 500),
    Prefixed("rubygems", "RubyGems key", ("rubygems_",), _HEX, 48, 48),
    Prefixed("artifactory", "Artifactory API key", ("AKCp",), _ALNUM, 69, 69),
    Prefixed("artifactory", "Artifactory reference token", ("cmVmdGtu",), _ALNUM, 50, 60),
    Prefixed("sonarqube", "SonarQube token", ("squ_", "sqp_", "sqa_"), _HEX, 40, 40),
    Prefixed("sentry", "Sentry token", ("sntryu_",), _HEX, 64, 64),
    Prefixed("sentry", "Sentry token", ("sntrys_eyJ",), "A-Za-z0-9_=+/", 80, 600),
    Prefixed("slack", "Slack token", ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxc-"), "A-Za-z0-9-", 20, 250),
    Prefixed("slack", "Slack app token", ("xapp-",), "A-Za-z0-9-", 40, 200),
    Prefixed("stripe", "Stripe secret key", ("sk_live_", "rk_live_"), _ALNUM, 16, 247),
    Prefixed("stripe-test", "Stripe test key", ("sk_test_", "rk_test_"), _ALNUM, 16, 247, Severity.LOW),
    Prefixed("square", "Square token", ("sq0atp-", "sq0csp-"), _WORD, 22, 43),
    Prefixed("shopify", "Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), "a-fA-F0-9", 32, 32),
    Prefixed("anthropic", "Anthropic API key", ("sk-ant-",), _WORD, 80, 120),
    Prefixed("openai", "OpenAI API key", ("sk-proj-", "sk-svcacct-", "sk-admin-"), _WORD, 40, 200),
    Prefixed("hugging-face", "Hugging Face token", ("hf_",), _ALNUM, 34, 34),
    Prefixed("groq", "Groq API key", ("gsk_",), _ALNUM, 52, 52),
    Prefixed("perplexity", "Perplexity API key", ("pplx-",), _ALNUM, 48, 48),
    Prefixed("facebook", "Facebook access token", ("EAAC", "EAAA", "EAAB", "EAAG"), _ALNUM, 100, 400),
    Prefixed("postman", "Postman API key", ("PMAK-",), "a-f0-9-", 59, 59),
    Prefixed("linear", "Linear API key", ("lin_api_",), _ALNUM, 40, 40),
    Prefixed("notion", "Notion token", ("ntn_",), _ALNUM, 40, 50),
    Prefixed("figma", "Figma token", ("figd_", "figu_"), _WORD, 38, 48),
    Prefixed("doppler", "Doppler token", ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa."), "A-Za-z0-9_.-", 40, 60),
    Prefixed("dynatrace", "Dynatrace token", ("dt0c01.", "dt0s01.", "dt0s16."), "A-Z0-9.", 88, 90),
    Prefixed("1password", "1Password service account token", ("ops_eyJ",), "A-Za-z0-9_+/=-", 200, 2000),
    Prefixed("brevo", "Brevo API key", ("xkeysib-",), "a-zA-Z0-9-", 80, 90),
    Prefixed("telegram", "Telegram bot token", (":AA",), _WORD, 33, 33),
    Prefixed("age", "age secret key", ("AGE-SECRET-KEY-1",), "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58, 58, Severity.CRITICAL),
    Prefixed("fernet", "Fernet token", ("gAAAAAB",), "A-Za-z0-9_-", 60, 2000, Severity.MEDIUM),
    Prefixed("paseto", "PASETO", ("v2.local.", "v3.local.", "v4.local.", "v2.public.", "v4.public."), "A-Za-z0-9_.-", 60, 2000, Severity.MEDIUM),
    Prefixed("replicate", "Replicate token", ("r8_",), _ALNUM, 37, 37),
    Prefixed("planetscale", "PlanetScale password", ("pscale_pw_", "pscale_tkn_"), "A-Za-z0-9_.-", 32, 64),
    Prefixed("supabase", "Supabase token", ("sbp_",), _HEX, 40, 40),
    Prefixed("pulumi", "Pulumi token", ("pul-",), _HEX, 40, 40),
    Prefixed("airtable", "Airtable token", ("pat",), "A-Za-z0-9.", 79, 79),
    Prefixed("tailscale", "Tailscale key", ("tskey-auth-", "tskey-api-", "tskey-client-"), _WORD, 20, 64),
    Prefixed("mapbox", "Mapbox secret token", ("sk.eyJ",), "A-Za-z0-9_.-", 60, 200),
)

_PEM_KIND = "(?:RSA |EC |DSA |OPENSSH |ENCRYPTED |ANY |SSH2 ENCRYPTED )?PRIVATE KEY|PGP PRIVATE KEY BLOCK"

SHAPED: tuple[Shaped, ...] = (
    Shaped("private-key", "Private key", "-----BEGIN ", 11, f"-----BEGIN (?P<kind>{_PEM_KIND})-----", Severity.CRITICAL, guard=False),
    Shaped("private-key", "Private key", "---- BEGIN SSH2 ENCRYPTED PRIVATE", 33, "---- BEGIN SSH2 (?P<kind>ENCRYPTED PRIVATE KEY) ----",
           Severity.CRITICAL, guard=False),
    Shaped("private-key", "Private key", "PuTTY-User-Key-File-[23]: ", 23, r"PuTTY-User-Key-File-[23]: (?P<kind>[a-z0-9-]{3,40})",
           Severity.CRITICAL, guard=False),
    Shaped("slack", "Slack token", "xoxd-[A-Za-z0-9]{6}", 11, "xoxd-(?:[A-Za-z0-9+/=-]|%2[BbFf]|%3[Dd]){20,250}"),
    Shaped("jwt", "JSON Web Token", "eyJ[A-Za-z0-9_-]{9}", 12,
           r"eyJ[A-Za-z0-9_-]{9,2000}\.[A-Za-z0-9_-]{2,8000}\.[A-Za-z0-9_-]{0,1400}(?![A-Za-z0-9_-])", Severity.MEDIUM),
    Shaped("aws-secret-key", "AWS secret access key", "secret_?access_?key", 0,
           r"(?i:secret_?access_?key)(?:%22|[\"'\\\s:=>,&;]|&quot;){1,12}(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
           Severity.CRITICAL, caseless=True, guard=False),
    Shaped("azure-storage-key", "Azure storage account key", "AccountKey=[A-Za-z0-9+/]{8}", 19,
           r"AccountKey=(?P<value>[A-Za-z0-9+/]{86}==)", Severity.CRITICAL),
    Shaped("azure-client-secret", "Azure client secret", r"[0-9]Q~[A-Za-z0-9_~.-]{8}", 11,
           r"[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~-])", guard=False),
    Shaped("azure-sas", "Azure shared access signature", "[?&]sig=[A-Za-z0-9%+/]{16}", 21,
           r"[?&]sig=(?P<value>[A-Za-z0-9%+/]{40,64}(?:=|%3[Dd]))", Severity.MEDIUM, guard=False),
    Shaped("aws-presigned-url", "Presigned AWS request", "X-Amz-Signature=[0-9a-f]{16}", 32,
           r"X-Amz-Signature=(?P<value>[0-9a-f]{64})(?![0-9a-f])", Severity.MEDIUM),
    Shaped("sendgrid", "SendGrid API key", r"SG\.[A-Za-z0-9_-]{10}", 13, r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
    Shaped("twilio", "Twilio API key", r"SK[0-9a-f]{20}", 22, r"SK[0-9a-f]{32}(?![A-Za-z0-9_-])"),
    Shaped("mailgun", "Mailgun API key", "key-[0-9a-f]{16}", 20, r"key-[0-9a-f]{32}(?![A-Za-z0-9_-])"),
    Shaped("mailchimp", "Mailchimp API key", r"[0-9a-f]{20}-us[0-9]", 24, r"[0-9a-f]{20}-us[0-9]{1,2}(?![A-Za-z0-9_-])", guard=False),
    Shaped("openai", "OpenAI API key", "T3BlbkFJ", 8, r"T3BlbkFJ[A-Za-z0-9_-]{20,80}(?![A-Za-z0-9_-])", guard=False),
    Shaped("slack-webhook", "Slack webhook", r"hooks\.slack\.com/", 16,
           r"hooks\.slack\.com/(?P<value>(?:services|workflows|triggers)/[A-Za-z0-9_/]{30,120})(?![A-Za-z0-9_/-])"),
    Shaped("teams-webhook", "Microsoft Teams webhook", r"\.webhook\.office\.com/", 20,
           r"\.webhook\.office\.com/(?P<value>webhookb2/[A-Za-z0-9@/-]{60,260})(?![A-Za-z0-9@/-])", guard=False),
    Shaped("discord-webhook", "Discord webhook", r"discord(?:app)?\.com/api/webhooks/", 0,
           r"discord(?:app)?\.com/api/webhooks/(?P<value>[0-9]{15,20}/[A-Za-z0-9_-]{60,72})(?![A-Za-z0-9_-])"),
    Shaped("paypal", "PayPal or Braintree access token", r"access_token\$production\$", 24,
           r"access_token\$production\$[a-z0-9]{16}\$[0-9a-f]{32}(?![A-Za-z0-9_-])"),
    Shaped("terraform-cloud", "Terraform Cloud token", r"[A-Za-z0-9]{14}\.atlasv1\.", 23,
           r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}(?![A-Za-z0-9_=-])"),
    Shaped("azure-devops", "Azure DevOps token", "[A-Za-z0-9]{76}AZDO", 80, "[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}(?![A-Za-z0-9_-])"),
    Shaped("cloudflare-origin-ca", "Cloudflare origin CA key", r"v1\.0-[a-f0-9]{12}", 17,
           r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}(?![A-Za-z0-9_-])"),
    Shaped("otp-seed", "One-time password seed", "otpauth://[ht]otp/", 15,
           r"otpauth://[ht]otp/[^\s\"'<>]{0,200}?secret=(?P<value>[A-Za-z2-7]{16,128})"),
    Shaped("mws", "Amazon MWS token", r"amzn\.mws\.", 9,
           r"amzn\.mws\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![A-Za-z0-9_-])"),
    Shaped("wireguard", "WireGuard private key", "PrivateKey ?= ?[A-Za-z0-9+/]{8}", 0,
           r"PrivateKey ?= ?(?P<value>[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)", Severity.CRITICAL),
)
