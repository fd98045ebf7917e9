# Made by `evidenced permissions --format terraform`. A role that reads the identity part of this account, and nothing
# that it could change.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "trusted_principal" {
  description = "ARN of the role or user that evidenced runs as"
  type        = string
}

variable "external_id" {
  description = "A word that only you and the settings of evidenced know (external_id)"
  type        = string
  sensitive   = true
}

variable "role_name" {
  type    = string
  default = "evidenced-reader"
}

variable "who_changed_what" {
  description = "Whether it may look up who changed what (cloudtrail in the settings)"
  type        = bool
  default     = true
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [var.trusted_principal]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

data "aws_iam_policy_document" "reads" {
  statement {
    sid       = "EvidencedReadsIdentity"
    resources = ["*"]
    actions = [
      "iam:GenerateCredentialReport",
      "iam:GetAccountAuthorizationDetails",
      "iam:GetAccountPasswordPolicy",
      "iam:GetAccountSummary",
      "iam:GetCredentialReport",
      "iam:ListOpenIDConnectProviders",
      "iam:ListSAMLProviders",
      "iam:ListServerCertificates",
      "iam:ListVirtualMFADevices",
    ]
  }

  dynamic "statement" {
    for_each = var.who_changed_what ? [1] : []
    content {
      sid       = "EvidencedReadsWhoChangedWhat"
      resources = ["*"]
      actions = [
        "cloudtrail:LookupEvents",
      ]
    }
  }
}

resource "aws_iam_role" "reader" {
  name                 = var.role_name
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "reads" {
  name   = "evidenced-reads"
  role   = aws_iam_role.reader.id
  policy = data.aws_iam_policy_document.reads.json
}

output "role_arn" {
  description = "For the settings of evidenced (role_arn)"
  value       = aws_iam_role.reader.arn
}
